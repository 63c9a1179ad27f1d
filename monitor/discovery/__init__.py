"""`barograph topics`: from the address of a Kafka cluster to settings that read and judge its topics.

It may import `errors`, `sample`, `text`, `kafka.topic_reader`, `decode`, `detection.entities` and `config`.

Begin with `cluster`: `inspect` reads a part of each topic and reports on it. It uses:

- `topic_choice`: which topics are inspected;
- `survey`: what the records of a topic hold: their format, series, intervals and partitions;
- `suggest`: the watches that would judge them.

What is made of the report: `advice` says what should be changed, `suggested_settings` writes a configuration,
`report` prints everything on a terminal, and `report_json` writes it as JSON.
"""
