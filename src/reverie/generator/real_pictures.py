"""The real pictures that samples are held against: their features, their floors, and what lies near to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reverie.data.pictures import Collection
from reverie.errors import DataError
from reverie.generator import measures
from reverie.generator.features import FeatureExtractor
from reverie.generator.measures import Nearest

__all__ = ["Near", "RealPictures"]

_AT_ONCE = 64  # training pictures in memory at a time
_FLOOR_DRAWS = 10  # random parts of the training split that a floor is the mean of


@dataclass(frozen=True)
class Near:
    """For each picture asked about, the training picture (or its mirror image) that is nearest."""

    in_features: Nearest
    in_pixels: Nearest  # RMS difference of grey thumbnails


@dataclass(frozen=True)
class RealPictures:
    """Training and held-out pictures of a collection, seen at ``side`` through one extractor."""

    extractor: FeatureExtractor
    train: Collection
    held: Collection
    side: int
    pictures: np.ndarray  # held out, uint8 (N, side, side, 3)
    held_features: np.ndarray  # (N, D)
    train_features: np.ndarray  # (T, D)
    known_features: np.ndarray  # (2T, D): training pictures, then their mirror images
    known_thumbnails: np.ndarray  # (2T, P)
    held_near: Near

    @classmethod
    def of(cls, collection: Collection, split: str, side: int, extractor: FeatureExtractor) -> RealPictures:
        """Raises DataError where the split, or the training split, has no picture."""
        train, held = collection.split("train"), collection.split(split)
        for name, part in (("train", train), (split, held)):
            if not len(part):
                raise DataError(f"the collection {collection.folder} has no picture in its split '{name}'")
        features, thumbnails = _seen(train, side, extractor)
        pictures = held.pictures(side)
        held_features = extractor.features(pictures)
        made = cls(
            extractor, train, held, side, pictures, held_features, features[: len(train)], features, thumbnails,
            Near(_NOTHING, _NOTHING),
        )  # fmt: skip
        return replace(made, held_near=made.near(pictures, held_features))

    def near(self, pictures: np.ndarray, features: np.ndarray | None = None) -> Near:
        """What lies next to ``pictures``, uint8 (N, side, side, 3), among training pictures and their mirror images."""
        seen = self.extractor.features(pictures) if features is None else features
        found = (
            measures.nearest(seen, self.known_features),
            measures.nearest(measures.thumbnails(pictures), self.known_thumbnails),
        )
        return Near(*(Nearest(one.places % len(self.train), one.distances) for one in found))

    def floors(self, count: int, seed: int = 0) -> dict[str, float]:
        """KID and FID of real pictures: ``count`` of the training split against the held-out ones, the mean of some
        random draws. What makes no mistake at all would get about this. ``*_train``: all of both splits."""
        rng = np.random.default_rng(seed)
        count = min(count, len(self.train))
        draws = [self.train_features[rng.choice(len(self.train), count, replace=False)] for _ in range(_FLOOR_DRAWS)]
        return {
            "n": float(count),
            "kid": float(np.mean([measures.kid(self.held_features, draw) for draw in draws])),
            "kid_deviation": float(np.mean([measures.kid_deviation(self.held_features, draw) for draw in draws])),
            "fid": float(np.mean([measures.fid(self.held_features, draw) for draw in draws])),
            "kid_train": measures.kid(self.train_features, self.held_features),
            "fid_train": measures.fid(self.train_features, self.held_features),
            "nearest_feature_distance": float(np.median(self.held_near.in_features.distances)),
            "nearest_pixel_distance": float(np.median(self.held_near.in_pixels.distances)),
        }

    def sample_figures(self, pictures: np.ndarray, near: Near | None = None) -> dict[str, float]:
        """What sampled pictures, uint8 (N, side, side, 3), are like beside the real ones.

        kid, fid               distance to the held-out pictures (``kid_deviation``: its standard deviation)
        kid_train, fid_train   distance to all training pictures
        diversity              mean distance between two of them, as a share of that of held-out ones; may exceed 1
        distinct_share         different ones, to the last bit
        nearest_*_ratio        median distance to the nearest training picture over that of held-out pictures
        copied_share           nearer to a training picture than any held-out picture is, in features and in pixels
        """
        features = self.extractor.features(pictures)
        near = near or self.near(pictures, features)
        return {
            "kid": measures.kid(self.held_features, features),
            "kid_deviation": measures.kid_deviation(self.held_features, features),
            "fid": measures.fid(self.held_features, features),
            "kid_train": measures.kid(self.train_features, features),
            "fid_train": measures.fid(self.train_features, features),
            "diversity": measures.diversity(features, self.held_features),
            "distinct_share": measures.distinct_share(pictures),
            "nearest_feature_ratio": _ratio(near.in_features, self.held_near.in_features),
            "nearest_pixel_ratio": _ratio(near.in_pixels, self.held_near.in_pixels),
            "copied_share": self._copied(near),
        }

    def training_pictures(self, places: np.ndarray) -> np.ndarray:
        """The training pictures of these places, uint8 (N, side, side, 3)."""
        chosen = replace(self.train, records=tuple(self.train.records[int(place)] for place in places))
        return chosen.pictures(self.side)

    def _copied(self, near: Near) -> float:
        pairs = ((near.in_features, self.held_near.in_features), (near.in_pixels, self.held_near.in_pixels))
        nearer = [own.distances < held.distances.min() for own, held in pairs]
        return float(np.logical_and(*nearer).mean()) if len(nearer[0]) else float("nan")


_NOTHING = Nearest(np.zeros(0, np.int64), np.zeros(0))


def _seen(train: Collection, side: int, extractor: FeatureExtractor) -> tuple[np.ndarray, np.ndarray]:
    """Features and thumbnails of all training pictures, then of all their mirror images."""
    plain, mirrored = list[tuple[np.ndarray, np.ndarray]](), list[tuple[np.ndarray, np.ndarray]]()
    for start in range(0, len(train), _AT_ONCE):
        pictures = replace(train, records=train.records[start : start + _AT_ONCE]).pictures(side)
        for rows, seen in ((plain, pictures), (mirrored, np.ascontiguousarray(pictures[:, :, ::-1]))):
            rows.append((extractor.features(seen), measures.thumbnails(seen)))
    features, thumbnails = zip(*plain, *mirrored, strict=True)
    return np.concatenate(features), np.concatenate(thumbnails)


def _ratio(own: Nearest, held: Nearest) -> float:
    usual = float(np.median(held.distances))
    return float(np.median(own.distances)) / usual if usual and len(own.distances) else float("nan")
