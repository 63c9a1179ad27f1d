"""Training: from recorded metrics, or from the daemon's history, to a model that may serve.

May import `clock`, `errors`, `sample`, `config`, `detection`, `storage` and `models`; it alone imports
`apscheduler`, but for the check of cron expressions in `config`. Begin with `train`, then `challenge`.

- `train`: fits a watch's model, saves and promotes it
- `from_history`: reads the history of a watch, and trains on it
- `challenge`: trains a challenger, and compares it with the champion on held-out steps
- `gate`: the numbers of that comparison, the rules, and the outcome of a training
- `warm_up`: lets a model judge and learn the newest steps before it serves
- `schedule`: when each watch is trained again
- `child`: runs a training as a child process
- `plot`: the picture of a training
"""
