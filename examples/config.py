"""Reading and writing a program's configuration."""

import json
import os


def load_config(path):
    """Load a JSON configuration file."""
    if not os.path.exists(path):
        return {}
    with open(path) as f:
        return json.load(f)


def save_config(path, config):
    """Write a configuration as JSON."""
    with open(path, "w") as f:
        
