"""Translate the keys for which a new name is not enough, with one function per key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssl_host import ConfigValue, did_you_mean
from ssl_plugin_lightweight_ssl.keys import FLAT, WANDB, Key
from ssl_plugin_lightweight_ssl.translation import Translation

TORCH_DATA = Path("/data/tch_ds")
IMAGENET_DATA = Path("/data/ImgNet")
"""Folders that Lightweight-SSL reads when ``data_dir`` is not set."""

_UNSET = (None, "", "None")


def _translate_method(t: Translation, value: ConfigValue) -> None:
    """Translate ``ssl_method`` to ``[method] name``."""
    t.put("method", "name", t.method_name, value)


def _translate_seed(t: Translation, value: ConfigValue) -> None:
    """Translate ``seed``; a seed that Lightweight-SSL ignores becomes 0."""
    seed = value.raw
    if isinstance(seed, int) and not 0 <= seed < 2**31:
        t.note(value, f"seed = {seed} means no seed in Lightweight-SSL; 0 is used")
        seed = 0
    t.put("run", "seed", seed, value)


def _translate_epochs(t: Translation, value: ConfigValue) -> None:
    """Translate ``epochs`` to the epochs of the run or of the linear evaluation."""
    t.put("evaluator.linear" if t.is_linear else "run", "epochs", value.raw, value)


def _translate_compute(t: Translation, value: ConfigValue) -> None:
    """Translate ``compute_cfg`` to the accelerator, strategy and devices of ``[trainer]``."""
    if not isinstance(value.raw, dict):
        example = "{'devices': 1}@dict"
        t.problem(value, f"compute_cfg: {value.raw!r} should be a dict, such as {example}")
        return
    for entry, setting in value.raw.items():
        if entry == "accelerator":
            t.put("trainer", "accelerator", setting, value)
        elif entry == "strategy":
            t.put("trainer", "strategy", "ddp" if setting == "ddp" else "auto", value)
        elif entry not in ("devices", "device", "auto_select_gpus"):
            t.problem(value, f"compute_cfg: unknown entry {entry!r}")
    if "devices" in value.raw or "device" in value.raw:
        t.put("trainer", "devices", t.devices, value)


def _translate_backbone(t: Translation, value: ConfigValue) -> None:
    """Translate ``backbone`` to the name of a timm model."""
    t.put("backbone", "name", "timm", value)
    t.put("backbone", "model", str(value.raw), value)


def _translate_dataset(t: Translation, value: ConfigValue) -> None:
    """Translate ``dataset`` and ``data_dir`` to the name and the folder of a data source.

    A missing folder only causes a note, because a file may be checked or converted on another
    machine. Such a folder is an error when the configuration is run: ``download`` is set to false,
    so that nothing is downloaded to a place where the user expects existing data.
    """
    name = str(value.raw).lower()
    t.put("data", "name", name, value)
    data_dir = t.source.get((FLAT, "data_dir"))
    if data_dir is None or data_dir.raw in _UNSET:
        root, source = IMAGENET_DATA if name == "imagenet" else TORCH_DATA, value
        comment = ""
    else:
        comment = data_dir.comment
        root, source = Path(str(data_dir.raw)).expanduser(), data_dir
        if name == "imagenet" and root.name == "train":
            root = root.parent
    t.put("data", "root", str(root.absolute()), source, comment)
    if root.is_dir():
        return
    t.note(
        source,
        f"data_dir: there is no folder {root} on this machine; before a run, put the data there, "
        "or set a different folder",
    )
    if t.has_setting("data", name, "download"):
        t.put("data", "download", False, source)


def _translate_batch_size(t: Translation, value: ConfigValue) -> None:
    """Translate ``batch_size``, which is per device, to the total over all devices."""
    count = len(t.devices) if isinstance(t.devices, list) else t.devices
    if not isinstance(count, int) or not isinstance(value.raw, int):
        t.problem(value, "batch_size: should be a whole number, and devices a number or a list")
        return
    total = value.raw * count
    t.put("evaluator.linear" if t.is_linear else "run", "batch_size", total, value)
    if count > 1:
        t.note(value, f"batch_size was per device: {total} images per step on {count} devices")


def _translate_crops(t: Translation, value: ConfigValue) -> None:
    """Translate ``aug_crop_lst``, the numbers of full-size views and small crops.

    A linear evaluation uses one view, usually written ``[1]``, regardless of the file.
    """
    crops = value.raw
    if not isinstance(crops, list) or not all(_is_positive(count) for count in crops):
        t.problem(value, f"aug_crop_lst: {crops!r} is not a list of numbers, such as [2, 6]")
    elif t.is_linear:
        if crops not in ([], [1]):
            t.note(value, f"aug_crop_lst = {crops} has no effect: linear evaluations use one view")
    elif crops[:1] == [2] and len(crops) > 1:
        t.put("augmentation", "name", "multicrop", value)
        t.put("augmentation", "num_local", sum(crops[1:]), value)
    elif crops not in ([], [2], [1, 1]):
        t.problem(
            value,
            f"aug_crop_lst: {crops} should be two full-size views, [2] or [1, 1], or two "
            "full-size views and small crops, such as [2, 6]",
        )


def _is_positive(value: object) -> bool:
    """Return True for a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _translate_log_type(t: Translation, value: ConfigValue) -> None:
    """Translate ``log_type`` and ``[wandb_args]`` to the ``wandb`` logger."""
    log_type = str(value.raw).lower()
    if log_type not in ("wandb", "csv", "", "none"):
        hint = did_you_mean(log_type, ("wandb", "csv"))
        t.problem(value, f"log_type: {value.raw!r} should be wandb or csv{hint}")
    if log_type != "wandb":
        return
    t.put("logger.wandb", "name", "wandb", value)
    for key, setting in WANDB.items():
        argument = t.source.get(("wandb_args", key))
        if argument is not None and argument.raw not in ("", None):
            t.put("logger.wandb", setting, argument.raw, argument)


def _translate_pretrained(t: Translation, value: ConfigValue) -> None:
    """Translate ``pretrain_ckpt_path`` to ``[run] init_from``."""
    if value.raw not in _UNSET:
        t.put("run", "init_from", t.checkpoint_path(value), value, value.comment)


def _translate_lr(t: Translation, value: ConfigValue) -> None:
    """Translate ``lr`` to the learning rate of the optimizer or of the linear evaluation."""
    if t.is_linear:
        t.put("evaluator.linear", "learning_rates", (value.raw,), value)
    else:
        t.put("optimizer", "lr", value.raw, value)


def _translate_weight_decay(t: Translation, value: ConfigValue) -> None:
    """Translate ``weight_decay`` to the setting of the optimizer or of the linear evaluation."""
    section = "evaluator.linear" if t.is_linear else "optimizer"
    t.put(section, "weight_decay", value.raw, value)


def _translate_scale_loss(t: Translation, value: ConfigValue) -> None:
    """Translate ``scale_loss``, and give biases the same learning rate as weights.

    Lightweight-SSL scales the loss and uses one learning rate. By default, Barlow Twins in ssl-host
    lowers the learning rate of the biases instead of scaling the loss.
    """
    if t.has_effect("scale_loss", value, "loss", "scale"):
        t.put("loss", "scale", value.raw, value)
        if t.method_accepts("method", "bias_lr_scale"):
            t.put("method", "bias_lr_scale", 1.0, value)


def _translate_save_top_k(t: Translation, value: ConfigValue) -> None:
    """Translate ``save_top_k`` to the number of checkpoints to keep."""
    if not isinstance(value.raw, int):
        t.problem(value, f"save_top_k: {value.raw!r} should be the number of checkpoints to keep")
    elif value.raw > 0:
        t.put("checkpoint", "keep", value.raw, value)
    else:
        reason = "the newest checkpoints are kept, so that the same command can resume"
        t.note(value, f"save_top_k = {value.raw} has no effect: {reason}")


def _translate_every_n_epochs(t: Translation, value: ConfigValue) -> None:
    """Translate ``every_n_epochs``, the number of epochs between checkpoints."""
    if value.raw == 0:
        t.note(value, "every_n_epochs = 0 has no effect: a run needs checkpoints to resume")
    else:
        t.put("checkpoint", "every_epochs", value.raw, value)


def _translate_only_eval(t: Translation, value: ConfigValue) -> None:
    """Translate ``only_eval``: train for 0 epochs, starting from ``ckpt_path``."""
    if not value.raw:
        return
    checkpoint = t.source.get(("ckpt_args", "ckpt_path"))
    if checkpoint is None or checkpoint.raw in _UNSET:
        if t.is_linear:
            t.problem(value, "only_eval: needs ckpt_path, the checkpoint to test")
        else:
            t.note(value, "only_eval has no effect in pretraining without ckpt_path")
        return
    path = t.checkpoint_path(checkpoint)
    t.put("run", "init_from", path, checkpoint, checkpoint.comment)
    t.put("run", "epochs", 0, value)
    if t.is_linear:
        t.put("evaluator.linear", "weights", path, checkpoint)


def _translate_ckpt_path(t: Translation, value: ConfigValue) -> None:
    """Add a note that ``ckpt_path`` has no effect, unless ``only_eval`` uses it."""
    only_eval = t.source.get(("ckpt_args", "only_eval"))
    if value.raw not in _UNSET and not (only_eval is not None and only_eval.raw):
        t.note(
            value,
            "ckpt_path has no effect without only_eval: the same command resumes from the last "
            "checkpoint",
        )


def _skip_key(t: Translation, value: ConfigValue) -> None:
    """Do nothing, because the translator of another key handles this key."""


TRANSLATORS: dict[Key, Callable[[Translation, ConfigValue], None]] = {
    (FLAT, "ssl_method"): _translate_method,
    (FLAT, "seed"): _translate_seed,
    (FLAT, "epochs"): _translate_epochs,
    (FLAT, "compute_cfg"): _translate_compute,
    (FLAT, "backbone"): _translate_backbone,
    (FLAT, "dataset"): _translate_dataset,
    (FLAT, "data_dir"): _skip_key,
    (FLAT, "batch_size"): _translate_batch_size,
    (FLAT, "aug_crop_lst"): _translate_crops,
    (FLAT, "log_type"): _translate_log_type,
    (FLAT, "pretrain_ckpt_path"): _translate_pretrained,
    ("ssl_args", "lr"): _translate_lr,
    ("ssl_args", "weight_decay"): _translate_weight_decay,
    ("ssl_args", "scale_loss"): _translate_scale_loss,
    ("ckpt_args", "every_n_epochs"): _translate_every_n_epochs,
    ("ckpt_args", "save_top_k"): _translate_save_top_k,
    ("ckpt_args", "only_eval"): _translate_only_eval,
    ("ckpt_args", "ckpt_path"): _translate_ckpt_path,
    **dict.fromkeys((("wandb_args", key) for key in WANDB), _skip_key),
}
"""Maps the section and key of Lightweight-SSL to the function that translates it."""
