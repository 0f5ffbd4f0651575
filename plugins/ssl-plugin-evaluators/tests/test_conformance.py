"""The host's conformance checks."""

from ssl_host.testing import conformance

test_clustering_conforms = conformance("evaluator", "clustering")
test_logistic_conforms = conformance("evaluator", "logistic")
test_retrieval_conforms = conformance("evaluator", "retrieval")
test_alpha_req_conforms = conformance("evaluator", "alpha_req")
test_lidar_conforms = conformance("evaluator", "lidar")
test_attentive_conforms = conformance("evaluator", "attentive")
test_linear_grid_conforms = conformance("evaluator", "linear_grid")
test_robustness_conforms = conformance("evaluator", "robustness")
test_segmentation_conforms = conformance("evaluator", "segmentation", masks=".")
