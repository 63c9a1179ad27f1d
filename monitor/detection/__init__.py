"""Samples to alerts, one watch at a time. Pure: no clock, no I/O, no logging; time is passed in.

May import `errors`, `sample`, `text`, `alerting`, `derive` and `models`. Begin with `Watch.process` in
`watch`: it is the way of a sample, stage by stage.

From outside in:

- `settings`, `build`, `swap`: a watch's settings; its stages built from them; another model takes over.
- `pipeline`: all watches over one stream; `watch`: the stages of one; `view`: what others see of it;
  `report`: what one batch did to it.
- `entities`, `selector`: which series a watch takes, and their rows and channels.
- `grid`, `steps`, `rates`, `late_samples`: samples to closed steps, and closed steps with what came late.
- `scorer`, `scored_step`, `recent_steps`: closed steps to scores.
- `judge`, `metric_rules`, `attribution`, `coverage`: scores to alerts; which channels an alert names; which
  entities are judged.
- `levels`: which episodes end with a new level, and which entities go back to an old one.
- `bounds`: how long until a channel leaves its valid range, by the model's forecast.
- `rejudge`, `rescorer`, `snapshots`: late data has steps judged again, by what they were judged by before.
"""
