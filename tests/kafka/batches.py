"""What tests ask of the batches of a Kafka source."""

from monitor.sample import concatenate

T0 = 1_700_000_000_000  # event times: long ago, so that no clock stands in the way


def values(batches):
    return concatenate(batch.columns for batch in batches).value.tolist()


def has(n_samples):
    """Be content with so many samples."""
    return lambda batches: sum(len(batch.columns) for batch in batches) >= n_samples
