"""A tensorflow-datasets builder that prepares MNIST-like sets from IDX files without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pride_jax.data.idx import IDX_FILES, read_idx_pair

MIRRORS = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
"""Where the four IDX files of each set lie; tensorflow-datasets holds their SHA-256 sums."""


class IdxImages(tfds.core.GeneratorBasedBuilder):
    """28x28 greyscale images in ten classes, stored as plain bytes in the order of the IDX files.

    The official builders store PNGs, which takes TensorFlow to encode. Same content, same version.

    References:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", 1998. Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747, 2017.
    """

    VERSION = tfds.core.Version("3.0.1")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in MIRRORS]  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Tensor(
            shape=(28, 28, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        label = tfds.features.ClassLabel(num_classes=10)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        config: Any = self.builder_config
        urls = [f"{MIRRORS[config.name]}{file}.gz" for file in IDX_FILES]
        downloads: Any = dl_manager.download(urls)
        train_images, train_labels, test_images, test_labels = map(Path, downloads)
        return {
            "train": self._generate_examples(train_images, train_labels),
            "test": self._generate_examples(test_images, test_labels),
        }

    def _generate_examples(
        self, image_file: Path, label_file: Path
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        examples = read_idx_pair(image_file, label_file)
        for index, (image, label) in enumerate(zip(examples.inputs, examples.targets, strict=True)):
            yield index, {"image": image, "label": label}
