import type { Keyring } from "../keys/credential.ts";
import type { Authorization } from "./authorization/authorization.ts";
import type { StoredMessage } from "./database-feed/announcement.ts";
import type { ProjectLimits } from "./limits/project-limits.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { MessageToStore, StoreProblem } from "./persist/store-message.ts";
import type { RowChanges } from "./postgres-changes/row-changes.ts";
import type { RealtimeClock, RealtimeParts } from "./realtime.ts";
import type { ReplayRequest } from "./replay/read-stored.ts";
import type { Rooms } from "./rooms.ts";
import type { RealtimeSettings } from "./settings.ts";

/** What every socket and channel of one server shares. */
export interface ServerParts {
  readonly settings: RealtimeSettings;
  readonly clock: RealtimeClock;
  readonly keyring: Keyring;
  readonly rooms: Rooms;
  readonly authorization: Authorization;
  readonly metrics: Metrics;
  /** Undefined where nothing is limited. */
  readonly limits: ProjectLimits | undefined;
  /** Undefined when the database could not say. */
  readonly readStored: (request: ReplayRequest) => Promise<readonly StoredMessage[] | undefined>;
  /** Keeps a broadcast for replay; undefined when it is kept. */
  readonly storeMessage: (message: MessageToStore) => Promise<StoreProblem | undefined>;
  readonly rowChanges: RowChanges;
  readonly log: RealtimeParts["log"];
}
