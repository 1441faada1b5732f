"""From the authors' released checkpoints to bundles: reading, name maps, description."""
