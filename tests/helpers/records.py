"""A complete record."""

RECORD = {
    "paper": "p",
    "table": "2",
    "row": "unet",
    "dataset": "IDRiD",
    "dataset_fingerprint": "ab",
    "trained_on": "IDRiD",
    "split": "test",
    "images": 27,
    "seed": 1,
    "recipe": {"lr": 0.1},
    "metrics": {"EX_aupr": 0.5, "EX_ppv": float("nan")},
    "protocol": "as told",
    "curve": [{"epoch": 1, "step": 10, "loss": 0.3, "seconds": 1.0}],
    "seconds": {"train": 1.0, "train_cpu": 2.0, "evaluate": 0.5},
    "device": "CPU",
    "versions": {},
    "commit": None,
    "date": "2026-01-01",
}
