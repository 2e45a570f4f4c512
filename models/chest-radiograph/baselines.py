"""The two baselines that a label must beat, on the same films, folds and patients as the network.

What they see is in `features.py`; of the frozen features 256 principal components. Logistic regression on either, with balanced classes.
"""
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from features import frozen, thumb16


def scores(features, components, strengths, y, none, fold):
    """Out-of-fold scores of every film: {"task@strength": N x L}, by regressions that learn a label against all films, against the
    normals, or among the abnormal, at several strengths of regularisation. A baseline gets the best of them for each task."""
    out = {}
    for k in sorted(set(fold[fold >= 0])):
        inside, test = (fold >= 0) & (fold != k), fold == k
        x = StandardScaler().fit(features[inside]).transform(features)
        if components:
            x = PCA(components, random_state=0).fit(x[inside]).transform(x)
        for j in range(y.shape[1]):
            for task, rows in (("all", inside), ("vs_none", inside & (none | (y[:, j] == 1))), ("among_abnormal", inside & ~none)):
                if y[rows, j].min() == y[rows, j].max():
                    continue
                for c in strengths:
                    clf = LogisticRegression(C=c, class_weight="balanced", max_iter=200).fit(x[rows], y[rows, j])
                    out.setdefault(f"{task}@{c}", np.full(y.shape, np.nan, np.float32))[test, j] = clf.decision_function(x[test])
    return out


def both(films, y, none, fold):
    """{baseline: scores}. The frozen features are tried as means alone and as means and maxima."""
    small, deep = thumb16(films), frozen(films)
    made = {"thumb16": scores(small, None, (0.3, 0.01), y, none, fold), "frozen": {}}
    for name, x in (("mean", deep[:, :1280]), ("mean and max", deep)):
        made["frozen"] |= {f"{k}, {name}": v for k, v in scores(x, 256, (5e-4, 1e-4), y, none, fold).items()}
    return made
