"""The service: how it is built, its loop, and what it does between two steps.

May import every folder but `commands` and `discovery`; only `commands` imports it. Begin with `build` and
`loop`.

- `build`: builds every part from the configuration, and nothing else here does
- `prometheus_build`: the same for the sources of Prometheus
- `daemon`: starts, runs and stops the parts in order
- `loop`: poll, judge, notify, checkpoint, commit; its thread owns all state
- `notifier`: alerts to the alert history and the outlets
- `operator_requests`: accepts episodes and mutes entities where an operator asks for it
- `checkpoints`: when state is saved, what is in it, and how a watch resumes from it
- `served_watch`: a watch with the version that judges it; loading, warming up and swapping models
- `champion_watcher`: notices promotions and rollbacks, and prepares the model in a thread of its own
- `retraining`: keeps histories, trains at set times, swaps models between two steps
- `status`: what a checkpoint says of each watch, for `barograph status`
- `judging_log`: log lines about the begin of judging, and the totals of a replay
- `limit_log`: log lines about series that a limit refuses
- `watch_log`: log lines about watches that nothing matches, and about entities without data
- `watchdog`: ends a process whose loop hangs
- `process`: threads, allocator and priority of this process
"""
