/** Upper bounds of the buckets of a latency, in ms. */
const boundsMs = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000];

/** How long something took, counted into buckets. Nothing is allocated per observation. */
export class LatencyHistogram {
  readonly counts: number[] = [...boundsMs, 0].map(() => 0);
  sumMs = 0;

  observe(ms: number): void {
    let at = 0;
    while (at < boundsMs.length && ms > (boundsMs[at] ?? Infinity)) at++;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sumMs += ms;
  }
}

/** What one server did since its start: numbers that whoever does it counts up. No names, topics or tokens. */
export class Metrics {
  sockets = 0;
  channels = 0;
  framesIn = 0;
  framesOut = 0;
  /** Deliveries of broadcasts. Plans count them, and the broadcasts, as messages. */
  messagesDelivered = 0;
  /** What plans count as presence events: states, tracks and deliveries of diffs. */
  presenceEvents = 0;
  broadcastsFromSockets = 0;
  broadcastsFromRest = 0;
  broadcastsFromDatabase = 0;
  joinsAccepted = 0;
  joinsRefused = 0;
  droppedSlowReaders = 0;
  droppedDatabaseBroadcasts = 0;
  rowChanges = 0;
  droppedRowChanges = 0;
  readonly joinLatency: LatencyHistogram = new LatencyHistogram();
}

/** Prometheus' text format, version 0.0.4. */
export function renderMetrics(metrics: Metrics): string {
  const lines: string[] = [];
  const add = (name: string, type: string, help: string, values: Readonly<Record<string, number>>): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of Object.entries(values)) lines.push(`${name}${labels} ${value}`);
  };
  add("realtime_sockets", "gauge", "Open sockets.", { "": metrics.sockets });
  add("realtime_channels", "gauge", "Joined channels.", { "": metrics.channels });
  add("realtime_frames_total", "counter", "Frames of clients, and frames to clients.", {
    '{direction="in"}': metrics.framesIn,
    '{direction="out"}': metrics.framesOut,
  });
  add(
    "realtime_deliveries_total",
    "counter",
    "Deliveries of broadcasts; plans count them and the broadcasts.",
    {
      "": metrics.messagesDelivered,
    },
  );
  add(
    "realtime_presence_events_total",
    "counter",
    "States, tracks and deliveries of diffs, as plans count them.",
    {
      "": metrics.presenceEvents,
    },
  );
  add("realtime_broadcasts_total", "counter", "Broadcasts by where they came from.", {
    '{source="socket"}': metrics.broadcastsFromSockets,
    '{source="rest"}': metrics.broadcastsFromRest,
    '{source="database"}': metrics.broadcastsFromDatabase,
  });
  add("realtime_row_changes_total", "counter", "Row changes delivered to channels.", {
    "": metrics.rowChanges,
  });
  add("realtime_joins_total", "counter", "Joins by their answer.", {
    '{answer="ok"}': metrics.joinsAccepted,
    '{answer="error"}': metrics.joinsRefused,
  });
  add(
    "realtime_drops_total",
    "counter",
    "Clients cut off because they did not read, messages over the limit.",
    {
      '{kind="slow_reader"}': metrics.droppedSlowReaders,
      '{kind="database_broadcast"}': metrics.droppedDatabaseBroadcasts,
      '{kind="row_change"}': metrics.droppedRowChanges,
    },
  );
  addHistogram(lines, "realtime_join_seconds", "From a join to its answer.", metrics.joinLatency);
  return `${lines.join("\n")}\n`;
}

function addHistogram(
  lines: string[],
  name: string,
  help: string,
  { counts, sumMs }: LatencyHistogram,
): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`);
  let total = 0;
  for (const [i, count] of counts.entries()) {
    total += count;
    const bound = boundsMs[i];
    lines.push(`${name}_bucket{le="${bound === undefined ? "+Inf" : bound / 1000}"} ${total}`);
  }
  lines.push(`${name}_sum ${sumMs / 1000}`, `${name}_count ${total}`);
}
