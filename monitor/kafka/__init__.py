"""All that knows Kafka: the source of samples, dead letters, and reading a cluster from outside.

It may import `sources.source` and `sources.position`, `decode`, `config`, and the leaves. It alone imports
the client libraries `kafka` and `confluent_kafka`.

Begin with `source`: `KafkaSource` fetches, hands out and commits. Its parts each decide one thing:

- `start_offsets`: at which offset a partition is read, at first, after a gap, and after a truncation;
- `topic_identity`: whether a topic is still the one that was read, or was deleted and made again;
- `backlog` and `batch_size`: which of the fetched records are handed out next, and how many;
- `record_decoder` and `format_check`: records to samples; bad records, and partitions in a wrong format;
- `progress` and `empty_check`: the watermark over all partitions, and which of them are empty;
- `unreadable`: damaged records that break the client, and where they end;
- `commit_metadata`: what a commit says beside its offset;
- `backoff`: how long to pause after an error, and when to build a new client;
- `source_report`: what a batch says about lag, errors and commits.

`client` is the Protocol of a client library, with errors by the reaction to them. `kafka_python_client` and
`confluent_client` implement it; `libraries` gives the configured one.

Dead letters: `dead_letter` is the record and its headers, `dead_letter_producer` sends them in a thread, and
`dead_letter_reader` shows them to people. `topic_reader` reads a cluster without joining a group, and
`connection_check` says why one cannot be reached. `library_log` passes on what the libraries log themselves.
"""
