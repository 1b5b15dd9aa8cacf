/** What a history came to: what was said, what was heard, and what the database says at the end. */
export interface Story {
  readonly sends: readonly Sent[];
  readonly heard: readonly Heard[];
  readonly processes: ReadonlyMap<string, Process>;
  readonly tasks: readonly EndedTask[];
  /** Leases that are still held at the end. */
  readonly leases: readonly { readonly taskId: string; readonly agent: string }[];
}

export interface Sent {
  readonly n: number;
  readonly from: string;
  /** Undefined: to all. */
  readonly to: string | undefined;
  /** The call resolved. */
  isAcknowledged: boolean;
  /** Of a broadcast: the processes that were there before it was sent. */
  readonly witnesses: readonly string[];
}

export interface Heard {
  readonly n: number;
  readonly process: string;
}

export interface Process {
  readonly agent: string;
  /** `clean` where it was shut down with the network up: then what it had handled was told. */
  ended: "no" | "clean" | "lost";
}

export interface EndedTask {
  readonly taskId: string;
  readonly isAcknowledged: boolean;
  /** As stored; undefined when it is not. */
  readonly status: string | undefined;
}

/** Everything that must not be, as sentences; none when all is well. Pure. */
export function violations(story: Story): string[] {
  return [...lost(story), ...repeated(story), ...disordered(story), ...ofTasks(story)];
}

/** What is still to be handled. */
export function lost({ sends, heard, processes }: Story): string[] {
  const hearers = grouped(heard, ({ n }) => n);
  return sends
    .filter(({ isAcknowledged }) => isAcknowledged)
    .flatMap((sent) => {
      const by = (hearers.get(sent.n) ?? []).map(({ process }) => process);
      if (sent.to !== undefined) {
        const isHandled = by.some((process) => processes.get(process)?.agent === sent.to);
        return isHandled
          ? []
          : [`${sent.n} from ${sent.from} to ${sent.to} was acknowledged and never handled`];
      }
      return sent.witnesses
        .filter((process) => processes.get(process)?.ended === "no" && !by.includes(process))
        .map(
          (process) => `broadcast ${sent.n} from ${sent.from} was acknowledged and never heard by ${process}`,
        );
    });
}

/** A process handles nothing twice; another process of the agent only what the first, lost, could not tell. */
function repeated({ sends, heard, processes }: Story): string[] {
  const direct = new Set(sends.filter(({ to }) => to !== undefined).map(({ n }) => n));
  const found: string[] = [];
  for (const [n, times] of grouped(heard, (each) => each.n)) {
    for (const [process, again] of grouped(times, (each) => each.process))
      if (again.length > 1) found.push(`${n} was handled ${again.length} times by ${process}`);
    if (!direct.has(n)) continue;
    const by = [...new Set(times.map(({ process }) => process))];
    for (const before of by.slice(0, -1))
      if (processes.get(before)?.ended !== "lost") found.push(`${n} was handled by ${by.join(" and ")}`);
  }
  return found;
}

/** What one agent said to another and was acknowledged is handled in the order of the calls, in each process. */
function disordered({ sends, heard }: Story): string[] {
  const sentBy = new Map(sends.map((sent) => [sent.n, sent]));
  const newest = new Map<string, number>();
  return heard.flatMap(({ n, process }) => {
    const sent = sentBy.get(n);
    if (sent === undefined || !sent.isAcknowledged || sent.to === undefined) return [];
    const way = `${sent.from} ${process}`;
    const before = newest.get(way) ?? 0;
    newest.set(way, Math.max(before, n));
    return n < before ? [`${process} handled ${n} of ${sent.from} after ${before}`] : [];
  });
}

function ofTasks({ tasks, leases }: Story): string[] {
  return [
    ...tasks
      .filter(
        ({ isAcknowledged, status }) => status !== "completed" && (isAcknowledged || status !== undefined),
      )
      .map(({ taskId, status }) => `task ${taskId} is ${status ?? "lost"} at the end`),
    ...leases.map(({ taskId, agent }) => `task ${taskId} is still leased to ${agent}`),
  ];
}

function grouped<T, K>(all: readonly T[], keyOf: (each: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const each of all) {
    const key = keyOf(each);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return groups;
}
