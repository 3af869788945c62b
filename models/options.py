"""Words and bounds that command lines need of the models, apart from them: to check options loads no JAX."""

from typing import Literal

CnnSize = Literal["xs", "s", "m", "l", "xl"]
Precision = Literal["float32", "bf16"]
UnitNetwork = Literal["dense", "conv", "gru"]
ClusterLoss = Literal["dec", "idec", "joint"]
Criterion = Literal["strength", "stability", "generalisation", "bic"]  # of the number of clusters
LEAST_WIDTH, MOST_WIDTH = 1, 31  # of raphe's kernels: a wider second convolution has too little left to be pooled
SVC_NAME, LOGISTIC_NAME, FOREST_NAME = "SVC", "logistic regression", "random forest"
TREES_NAME, NETWORK_NAME = "boosted trees", "plain network"
CLASSIFIERS = (SVC_NAME, LOGISTIC_NAME, FOREST_NAME, TREES_NAME, NETWORK_NAME)
