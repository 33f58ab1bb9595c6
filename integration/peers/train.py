"""Trains a model of a kind on the flights, as users of scikit-learn do, and writes it with what MLServer needs."""

import json
import pathlib
import sys

import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

flights, kind, out = sys.argv[1:4]
rows = pd.read_parquet(flights).dropna(subset=["delay", "distance", "origin", "destination"])
words = ["origin", "destination"]
if kind == "linear":
    model = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), words), (StandardScaler(), ["distance"])), LogisticRegression(max_iter=500))
else:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(make_column_transformer((encoder, words), ("passthrough", ["distance"])), HistGradientBoostingClassifier(max_iter=100))
model.fit(rows[["distance", *words]], rows["delay"] > 15)
path = pathlib.Path(out)
path.mkdir(parents=True, exist_ok=True)
joblib.dump(model, path / "model.joblib")
(path / "model-settings.json").write_text(json.dumps({
    "name": "flights", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib", "content_type": "pd"}}))
