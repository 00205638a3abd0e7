"""Trains the iris classifier of scikit-learn's own data set.

Usage: train_iris.py FOLDER. Writes model.joblib, and expected.json with two rows and
the classes that the model gives them, into the folder.
"""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.svm import SVC

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    data = load_iris()
    model = SVC(gamma="scale", random_state=0).fit(data.data, data.target)
    accuracy = model.score(data.data, data.target)
    if accuracy < 0.95:
        sys.exit(f"the model is right for {accuracy:.0%} of its own data only")
    joblib.dump(model, folder / "model.joblib")
    expected = {"rows": ROWS, "classes": [int(c) for c in model.predict(ROWS)]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"trained on {len(data.target)} rows, right for {accuracy:.1%} of them")


main()
