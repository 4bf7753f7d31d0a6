"""A transformer for scikit-learn's pipelines. scikit-learn itself is not needed to import it."""
from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

import numpy as np

from ._program import HeadctError, PathLike
from ._scans import _is_one, _is_path, embed


class HeadCTEmbedder:
    """Scans -> embeddings, as scikit-learn's transformers do: make_pipeline(HeadCTEmbedder(weights="w.safetensors"), LogisticRegression()).fit(X, y).

    X: a list of scans as headct.embed takes them; each gives one row, so that rows fit y. A path that holds several scans, or one that cannot be
    read, raises HeadctError; with refused="nan" its row is NaN, for a pipeline that imputes.
    weights, device, heads, recipe, filters: as of headct.embed."""

    def __init__(self, weights: Optional[PathLike] = None, *, device: Optional[str] = None, heads: Optional[int] = None, recipe: Optional[PathLike] = None,
                 filters: Optional[str] = None, refused: str = "raise"):
        self.weights, self.device, self.heads = weights, device, heads
        self.recipe, self.filters, self.refused = recipe, filters, refused

    def get_params(self, deep: bool = True) -> Dict[str, Any]:
        return {n: getattr(self, n) for n in ("weights", "device", "heads", "recipe", "filters", "refused")}

    def set_params(self, **params: Any) -> "HeadCTEmbedder":
        unknown = set(params) - set(self.get_params())
        if unknown:
            raise ValueError(f"no parameter {', '.join(sorted(unknown))}: there are {', '.join(self.get_params())}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Any = None, y: Any = None) -> "HeadCTEmbedder":
        """Nothing is learned: the encoder is trained already."""
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        return self.transform(X)

    def transform(self, X: Any) -> np.ndarray:
        """float32 [len(X), width]."""
        if self.weights is None or self.refused not in ("raise", "nan"):
            raise HeadctError("HeadCTEmbedder: give weights=FILE" if self.weights is None else f"HeadCTEmbedder: refused={self.refused!r}: 'raise' or 'nan'")
        scans = [X] if _is_one(X) else list(X)
        places = [os.path.realpath(s) if _is_path(s) else None for s in scans]
        first: Dict[str, Any] = {p: s for p, s in zip(places, scans) if p is not None}  # a path that stands there twice is embedded once
        given = [s for p, s in zip(places, scans) if p is None]
        found = embed([*given, *first.values()], weights=self.weights, device=self.device, heads=self.heads, recipe=self.recipe, filters=self.filters,
                      identifiers="clear")
        self.width_ = found.embeddings.shape[1]
        rows: Dict[str, List[int]] = {}
        for i, (scan, path) in enumerate(zip(found.scans, found.paths)):
            rows.setdefault(os.path.realpath(path) if path else scan, []).append(i)
        arrays = iter(range(len(given)))
        out = np.full((len(scans), found.embeddings.shape[1]), np.nan, np.float32)
        for k, place in enumerate(places):
            key = place if place is not None else f"array{next(arrays)}"
            mine = rows.get(key) or [i for path, those in rows.items() if place and path.startswith((f"{place}/", f"{place}!/")) for i in those]
            if len(mine) == 1:
                out[k] = found.embeddings[mine[0]]
            elif len(mine) > 1 or self.refused == "raise":
                name = scans[k] if place else key
                why = f"holds {len(mine)} scans; name each" if mine else "; ".join(found.refused.values()) or "; ".join(found.left_out.values()) or "no scan"
                raise HeadctError(f"{name}: {why}", 3)
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """headct0, headct1, ...; after a transform."""
        if not hasattr(self, "width_"):
            raise HeadctError("HeadCTEmbedder: transform scans first: only then is the width known")
        return np.array([f"headct{i}" for i in range(self.width_)], object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), transformer_tags=TransformerTags(), requires_fit=False,
                    input_tags=InputTags(two_d_array=False, string=True))

    def __repr__(self) -> str:
        return f"HeadCTEmbedder({', '.join(f'{k}={v!r}' for k, v in self.get_params().items() if v is not None)})"
