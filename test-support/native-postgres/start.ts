import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { ensurePostgres } from "./install.ts";
import type { Progress } from "../debian/run-quietly.ts";

export interface NativePostgresOptions {
  /** Keep Postgres' promise that a committed row survives a power cut. Tests need not wait for the disk: default false. */
  readonly durable?: boolean;
  /** More of what `postgres -c` takes, `name=value`. */
  readonly settings?: readonly string[];
  /** Told what takes long, one line each. */
  readonly progress?: Progress;
}

export interface NativePostgres {
  /** Of the superuser `supabase_admin`, password included, on 127.0.0.1 only. */
  readonly url: string;
  /** "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" */
  readonly version: string;
  /** Ends the server and removes its folder. Calling it twice returns the same promise. */
  stop(): Promise<void>;
}

/** A new, empty server of its own in a temporary folder, run by an unprivileged user; installs one where there is none. */
export async function startNativePostgres(options: NativePostgresOptions = {}): Promise<NativePostgres> {
  const { durable = false, settings = [], progress = () => undefined } = options;
  const { binDir, version } = await ensurePostgres(progress);
  const user = unprivilegedUser();
  removeAbandoned();
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  try {
    const password = randomBytes(18).toString("base64url");
    await initialize(binDir, folder, password, user);
    const { server, port } = await listen(binDir, folder, { durable, settings, user });
    let stopping: Promise<void> | undefined;
    return {
      url: `postgres://supabase_admin:${password}@127.0.0.1:${port}/postgres`,
      version,
      stop: () => (stopping ??= stop(server, folder)),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

const prefix = "agent-federation-postgres-";

/** Folders whose owner was killed and could remove nothing. Their server ended with it. */
function removeAbandoned(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = Number(new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1] ?? 0);
    if (owner > 0 && !isRunning(owner)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // kill throws nothing else; EPERM: somebody else's
  }
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Postgres refuses to run as root; anybody else runs it as themselves. */
function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    try {
      const id = (option: string): number => Number(execFileSync("id", [option, name], { stdio: "pipe" }));
      return { uid: id("-u"), gid: id("-g") };
    } catch {
      continue;
    }
  }
  throw new Error("native Postgres: neither the user postgres nor nobody exists, and root may not run it");
}

/** With a password: others with an account on this machine reach 127.0.0.1 as well. */
async function initialize(
  binDir: string,
  folder: string,
  password: string,
  user: User | undefined,
): Promise<void> {
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  chmodSync(folder, 0o700);
  if (user !== undefined) for (const path of [folder, passwordFile]) chownSync(path, user.uid, user.gid);
  const locale = process.platform === "linux" ? "C.UTF-8" : "en_US.UTF-8";
  const args = [
    "-D",
    join(folder, "data"),
    "-U",
    "supabase_admin",
    "-E",
    "UTF8",
    `--locale=${locale}`,
    "--no-sync",
  ];
  args.push("--auth=scram-sha-256", `--pwfile=${passwordFile}`);
  const child = spawn(join(binDir, "initdb"), args, {
    ...user,
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const complaints = collect(child);
  await once(child, "close");
  rmSync(passwordFile);
  if (child.exitCode !== 0) throw new Error(`native Postgres: initdb failed: ${complaints()}`);
}

interface Listening {
  readonly server: ChildProcess;
  readonly port: number;
}

/** The port is free when asked and may be somebody's a moment later, so a second and a third are tried. */
async function listen(
  binDir: string,
  folder: string,
  launching: Omit<Launching, "port">,
): Promise<Listening> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const server = launch(binDir, folder, { port, ...launching });
    const complaints = collect(server);
    if (await isReady(server)) return { server, port };
    if (attempt === 3) throw new Error(`native Postgres: did not start: ${complaints()}`);
  }
}

interface Launching {
  readonly port: number;
  readonly durable: boolean;
  readonly settings: readonly string[];
  readonly user: User | undefined;
}

function launch(
  binDir: string,
  folder: string,
  { port, durable, settings: more, user }: Launching,
): ChildProcess {
  const settings = [
    "listen_addresses=127.0.0.1",
    `port=${port}`,
    "unix_socket_directories=",
    "max_connections=400",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "logging_collector=off",
    "log_destination=stderr",
    "lc_messages=C",
    ...(durable ? [] : ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]),
    ...more,
  ];
  const command = [
    join(binDir, "postgres"),
    "-D",
    join(folder, "data"),
    ...settings.flatMap((each) => ["-c", each]),
  ];
  // Linux ends the server with us even when we are killed and can end nothing ourselves.
  const withUs = existsSync("/usr/bin/setpriv")
    ? ["/usr/bin/setpriv", "--pdeathsig", "INT", ...command]
    : command;
  const [program = "", ...args] = withUs;
  // Its own process group: Ctrl-C in a terminal is ours to handle, after those who use the server have ended.
  return spawn(program, args, { ...user, cwd: folder, detached: true, stdio: ["ignore", "ignore", "pipe"] });
}

async function isReady(server: ChildProcess): Promise<boolean> {
  return await new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.once("close", () => resolve(false));
    server.stderr?.on("data", (text: string) => {
      if (text.includes("ready to accept connections")) resolve(true);
    });
  });
}

/** Reads what a program complains of, so that it never waits for us, and keeps the end of it. */
function collect(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (more: string) => (text = (text + more).slice(-2_000)));
  return () => text.trim();
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("native Postgres: no free port");
  return address.port;
}

/** SIGINT is Postgres' fast shutdown: clients are cut off, nothing is left to recover. */
async function stop(server: ChildProcess, folder: string): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    const closed = once(server, "close");
    const impatient = setTimeout(() => server.kill("SIGQUIT"), 10_000);
    server.kill("SIGINT");
    await closed;
    clearTimeout(impatient);
  }
  rmSync(folder, { recursive: true, force: true });
}
