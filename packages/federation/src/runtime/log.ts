/** Who reads it: `error` a person, now; `info` a quiet log; `debug` whoever chases a bug. */
export type LogLevel = "error" | "info" | "debug";

/** Receives a constant message and its facts; never tokens, keys or message bodies. */
export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

export const silentLog: Log = () => {};
