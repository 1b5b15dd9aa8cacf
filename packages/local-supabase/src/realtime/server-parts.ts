import type { Keyring } from "../keys/credential.ts";
import type { Authorization } from "./authorization/authorization.ts";
import type { RealtimeClock, RealtimeParts } from "./realtime.ts";
import type { Rooms } from "./rooms.ts";
import type { RealtimeSettings } from "./settings.ts";

/** What every socket and channel of one server shares. */
export interface ServerParts {
  readonly settings: RealtimeSettings;
  readonly clock: RealtimeClock;
  readonly keyring: Keyring;
  readonly rooms: Rooms;
  readonly authorization: Authorization;
  readonly log: RealtimeParts["log"];
}
