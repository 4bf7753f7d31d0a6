"""headct in Python: embeddings and probabilities of head CTs, datasets, weights; headct.hct is the runtime below.

    import headct
    from sklearn.linear_model import LogisticRegression
    e = headct.embed(["a.nii.gz", "b.nii.gz"], weights="weights.safetensors", labels="labels.csv")
    model = LogisticRegression().fit(*e.known("SDH"))
    print(model.predict_proba(e.embeddings))

What is computed is computed by the program headct and by libhct; this package finds them in $HEADCT, in itself (wheels), or in $PATH.
headct is research software, and no medical device."""
from ._dataset import Dataset, load_dataset
from ._embedder import HeadCTEmbedder
from ._program import HeadctError, Outcome, find_program, run
from ._scans import Embeddings, Predictions, embed, predict, prepare
from ._version import __version__
from ._weights import Weights, read_weights

__all__ = ["Dataset", "Embeddings", "HeadCTEmbedder", "HeadctError", "Outcome", "Predictions", "Weights", "__version__", "embed", "find_program",
           "load_dataset", "predict", "prepare", "read_weights", "run"]
