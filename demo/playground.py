# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A page on this machine: move the four kinds of masks with sliders.

    pip install 'mask_plugins[demo]'
    python demo/playground.py            # then open http://127.0.0.1:7860

Only this machine can reach it, and nothing is sent anywhere. Uploads are at
most 5 MiB.
"""

import argparse
import os
from pathlib import Path

from mask_plugins.utils.entry_point import entry_point

# Before gradio is imported, which asks for its newest version otherwise.
os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')

CONFIG = 'pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits.py'
CHECKPOINT = (
    Path(__file__).resolve().parent / 'checkpoints' / 'pss_vit-tiny_digits.pth'
)
HOST = '127.0.0.1'


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--config', default=CONFIG)
    parser.add_argument('--checkpoint', default=str(CHECKPOINT))
    parser.add_argument('--port', type=int, default=7860)
    return parser.parse_args(argv)


def build(playground):
    """The page.

    Args:
        playground (Playground): What its sliders ask.

    Returns:
        gradio.Blocks: Not launched yet.
    """
    import gradio as gr

    def shown(function):
        """A message on the page in place of a traceback."""

        def call(*args):
            try:
                return function(*args)
            except ValueError as error:
                raise gr.Error(str(error)) from error

        return call

    def of_image(method):
        return shown(
            lambda digit, path, value: method(
                playground.image(int(digit), path), value
            )
        )

    with gr.Blocks(title='mask_plugins', analytics_enabled=False) as page:
        gr.Markdown('# mask_plugins\nMove a slider: what is masked changes.')
        with gr.Row():
            digit = gr.Slider(0, 99, 3, step=1, label='test digit')
            image = gr.File(label='or an image', file_types=['image'])
        panels = [
            ('tokens', playground.tokens, 'drop ratio', 0.9, 0.4),
            ('weights', playground.weights, 'mask threshold', 3.0, 0.5),
            ('channels', playground.channels, 'masked channels', 0.95, 0.5),
        ]
        for title, method, label, most, value in panels:
            with gr.Tab(title):
                slider = gr.Slider(0, most, value, step=0.05, label=label)
                plot = gr.Plot(label=title, elem_id=f'{title}-picture')
                text = gr.Textbox(label='result', elem_id=f'{title}-result')
            inputs, outputs = [digit, image, slider], [plot, text]
            for event in (page.load, digit.change, image.change):
                event(of_image(method), inputs, outputs, api_name=False)
            slider.release(of_image(method), inputs, outputs, api_name=False)
        with gr.Tab('patches'):
            video = gr.File(label='a video', file_types=['video'])
            gate = gr.Slider(0, 0.5, 0.2, step=0.05, label='gate threshold')
            frame = gr.Image(label='active patches', elem_id='patches-picture')
            text = gr.Textbox(label='result', elem_id='patches-result')
            for event in (page.load, video.change, gate.release):
                event(
                    shown(playground.patches),
                    [video, gate],
                    [frame, text],
                    api_name=False,
                )
    return page


def launch(page, port, **options):
    """Serve a page on this machine only; no file of it can be read."""
    import gradio as gr

    # The default theme fetches its font.
    theme = gr.themes.Base(font=['sans-serif'], font_mono=['monospace'])
    return page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        theme=theme,
        allowed_paths=[],
        max_file_size=5 * 2**20,
        **options,
    )


@entry_point()
def main(argv=None):
    """Load, then serve until Ctrl-C."""
    args = parse_args(argv)
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise SystemExit(
            "playground: gradio is missing: pip install 'mask_plugins[demo]'"
        ) from None
    from mask_plugins.analysis.playground import Playground

    playground = Playground(args.config, args.checkpoint)
    launch(build(playground), args.port)


if __name__ == '__main__':
    main()
