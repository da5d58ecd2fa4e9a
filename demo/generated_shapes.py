# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write generated images in the format of COCO or of Cityscapes.

Red boxes and green discs on dark noise, to try a detector or a segmentor of
mmdet or mmseg on a CPU. The files are those that the stock configs look for.

    python demo/generated_shapes.py coco data/coco_shapes
    python demo/generated_shapes.py cityscapes data/city_shapes
"""

import argparse
import json
from pathlib import Path
from typing import List, Tuple

import numpy as np
from PIL import Image, ImageDraw

NAMES = ('box', 'disc')
COLORS = ((220, 40, 40), (40, 220, 40))
# As Cityscapes numbers road, car and person for training.
BACKGROUND, LABELS = 0, (13, 11)


def draw(
    rng: np.random.Generator, size: Tuple[int, int]
) -> Tuple[Image.Image, Image.Image, List[Tuple[int, List[int]]]]:
    """One image with one to three shapes.

    Args:
        rng (Generator): Where the shapes come from.
        size (tuple[int, int]): Width and height in pixels, at least 32.

    Returns:
        tuple: The image, its labels per pixel, and (class, [x, y, w, h]) of
        each shape.
    """
    width, height = size
    noise = rng.integers(0, 60, (height, width, 3), np.uint8)
    image, labels = Image.fromarray(noise), Image.new('L', size, BACKGROUND)
    shapes = []
    for _ in range(rng.integers(1, 4)):
        w, h = rng.integers(min(size) // 5, min(size) // 2, 2).tolist()
        x, y = (int(rng.integers(0, free)) for free in (width - w, height - h))
        kind = int(rng.integers(0, 2))
        for canvas, color in ((image, COLORS[kind]), (labels, LABELS[kind])):
            pen = ImageDraw.Draw(canvas)
            form = pen.ellipse if kind else pen.rectangle
            form((x, y, x + w - 1, y + h - 1), fill=color)
        shapes.append((kind, [x, y, w, h]))
    return image, labels, shapes


def write_coco(
    root: Path, counts: Tuple[int, int], size: Tuple[int, int]
) -> None:
    """Boxes, as COCO 2017 has them, of the classes in ``NAMES``."""
    categories = [dict(id=i, name=name) for i, name in enumerate(NAMES, 1)]
    for seed, (split, count) in enumerate(zip(('train', 'val'), counts)):
        folder = root / f'{split}2017'
        folder.mkdir(parents=True, exist_ok=True)
        rng, images, boxes = np.random.default_rng(seed), [], []
        for number in range(count):
            image, _, shapes = draw(rng, size)
            name = f'{number:06}.jpg'
            image.save(folder / name)
            entry = dict(id=number, file_name=name)
            images.append(dict(entry, width=size[0], height=size[1]))
            for kind, box in shapes:
                entry = dict(id=len(boxes) + 1, image_id=number, bbox=box)
                entry.update(category_id=kind + 1, iscrowd=0)
                boxes.append(dict(entry, area=box[2] * box[3]))
        path = root / 'annotations' / f'instances_{split}2017.json'
        path.parent.mkdir(exist_ok=True)
        found = dict(images=images, annotations=boxes, categories=categories)
        path.write_text(json.dumps(found))


def write_cityscapes(
    root: Path, counts: Tuple[int, int], size: Tuple[int, int]
) -> None:
    """Labels per pixel, as Cityscapes has them: road, car and person."""
    for seed, (split, count) in enumerate(zip(('train', 'val'), counts)):
        rng = np.random.default_rng(seed)
        for number in range(count):
            image, labels, _ = draw(rng, size)
            for folder, picture, ending in (
                ('leftImg8bit', image, 'leftImg8bit'),
                ('gtFine', labels, 'gtFine_labelTrainIds'),
            ):
                path = root / folder / split / 'shapes'
                path.mkdir(parents=True, exist_ok=True)
                picture.save(path / f'{number:06}_{ending}.png')


def main(argv=None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('format', choices=('coco', 'cityscapes'))
    parser.add_argument('root', type=Path, help='folder to write to')
    parser.add_argument('--images', type=int, nargs=2, default=(64, 16),
        metavar=('TRAIN', 'VAL'), help='default: 64 16')  # fmt: skip
    parser.add_argument('--size', type=int, nargs=2, default=(128, 64),
        metavar=('WIDTH', 'HEIGHT'), help='default: 128 64')  # fmt: skip
    args = parser.parse_args(argv)
    if min(args.size) < 32 or min(args.images) < 1:
        parser.error('--size must be at least 32, --images at least 1')
    write = write_coco if args.format == 'coco' else write_cityscapes
    write(args.root, args.images, tuple(args.size))
    print(f'{sum(args.images)} images in {args.root}')


if __name__ == '__main__':
    main()
