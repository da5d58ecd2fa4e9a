# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Our models in mmpretrain's table of names."""

from typing import List

from mmpretrain.apis import ModelHub

from .find_config import config_folder


def register_models() -> List[str]:
    """Make the models of our metafiles known to mmpretrain, by name.

    After that ``mmpretrain.list_models`` lists them, and
    ``mmpretrain.get_model(name, pretrained=True)`` loads the small
    checkpoints that the package has; nothing is fetched.

    Returns:
        list[str]: The names of those that have weights.

    Examples:
        >>> name = register_models()[0]
        >>> from mmpretrain import get_model
        >>> model = get_model(name, pretrained=True)
        Loads checkpoint by local backend from path: ...
        >>> name, model.head.num_classes
        ('cs_resnet8_1xb64-3x10e_digits', 10)
    """
    root = config_folder('mask_plugins').parent
    models = ModelHub._models_dict
    ours = {path.stem.lower() for path in (root / 'configs').rglob('*.py')}
    if not set(models) & ours:
        ModelHub.register_model_index(root / 'model-index.yml', root)
    found = []
    for name in sorted(ours & set(models)):
        weights = models[name].metadata.data.get('Packaged Weights')
        if weights is not None:
            models[name].weights = str(root / weights)
            found.append(name)
    return found
