"""Clustering, retrieval, probes, segmentation, robustness, and measures without labels."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_evaluators(register: Register) -> None:
    register(
        "clustering",
        "ssl_plugin_evaluators.clustering:Clustering",
        "k-means: NMI, ARI and accuracy by assignment",
    )
    register(
        "logistic",
        "ssl_plugin_evaluators.logistic:Logistic",
        "logistic regression by L-BFGS, with C chosen on training images",
    )
    register(
        "retrieval",
        "ssl_plugin_evaluators.retrieval:Retrieval",
        "mean average precision and recall of held-out images as queries",
    )
    register(
        "alpha_req",
        "ssl_plugin_evaluators.alpha_req:AlphaReQ",
        "decay of the eigenspectrum of the features, without labels",
    )
    register(
        "lidar",
        "ssl_plugin_evaluators.lidar:LiDAR",
        "effective rank of what separates views of different images, without labels",
    )
    register(
        "attentive",
        "ssl_plugin_evaluators.attentive:Attentive",
        "classifier with attention pooling on the frozen tokens",
    )
    register(
        "linear_grid",
        "ssl_plugin_evaluators.linear_grid:LinearGrid",
        "linear classifiers on a grid of poolings, last blocks and rates",
    )
    register(
        "robustness",
        "ssl_plugin_evaluators.robustness:Robustness",
        "accuracy on images with noise, blur, weather and compression",
    )
    register(
        "segmentation",
        "ssl_plugin_evaluators.segmentation:Segmentation",
        "mean IoU of linear and nearest-neighbour classifiers of patch tokens",
    )
