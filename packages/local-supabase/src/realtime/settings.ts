import type { LimitFigures } from "./limits/plans.ts";

/** Numbers of the server. Defaults are those of a hosted project where it has such a number. */
export interface RealtimeSettings {
  /** A socket on which the client sends nothing for this long is closed. Default 60,000. */
  readonly idleTimeoutMs: number;
  /** Largest frame a client may send. Default 5,000,000; a larger one closes its socket (1009). */
  readonly maxFrameBytes: number;
  /** Largest broadcast or presence payload, in units of 1,000 bytes. Default 3,000. */
  readonly maxPayloadKilobytes: number;
  /** What may wait for a client that does not read; then it is let go, and its socket closed (1008, "too slow: …"). Default 16 MiB. */
  readonly maxBufferedBytes: number;
  /** Pushes that may wait behind a join or a policy check on one socket, before reading from it pauses. Default 1,000. */
  readonly maxWaitingPushes: number;
  /** Presence calls of one channel in one window; the next one closes the channel. Default 5 in 30,000 ms. */
  readonly presenceCalls: { readonly maxCalls: number; readonly windowMs: number };
  /** One changed access token per channel is applied in this time, the last of the others at its end. Default 10,000. */
  readonly accessTokenThrottleMs: number;
  /** A token is looked at again after this time at the latest. Default 3,600,000. */
  readonly tokenCheckMs: number;
  /** How long the answer to a refused upgrade is held back. Default 0; hosted: 2,000. */
  readonly upgradeRefusalDelayMs: number;
  /** How long the answer to a refused join is held back; nothing else waits with it. Default 0; hosted: 5,000. */
  readonly joinRefusalDelayMs: number;
  /** Limits of the whole project. Default none. */
  readonly limits: LimitFigures | undefined;
  /** Public channels are refused. Default false. */
  readonly isPrivateOnly: boolean;
  /** Every channel gets presence, also one that did not ask for it. Default false. */
  readonly hasPresenceAlways: boolean;
  /** How long clients have to answer a close frame, when the server ends or they read too slowly. Default 1,000. */
  readonly closeGraceMs: number;
}

export const defaultSettings: RealtimeSettings = {
  idleTimeoutMs: 60_000,
  maxFrameBytes: 5_000_000,
  maxPayloadKilobytes: 3000,
  maxBufferedBytes: 16 * 1024 * 1024,
  maxWaitingPushes: 1000,
  presenceCalls: { maxCalls: 5, windowMs: 30_000 },
  accessTokenThrottleMs: 10_000,
  tokenCheckMs: 3_600_000,
  upgradeRefusalDelayMs: 0,
  joinRefusalDelayMs: 0,
  limits: undefined,
  isPrivateOnly: false,
  hasPresenceAlways: false,
  closeGraceMs: 1000,
};

/** Sizes that a project limits are the server's. */
export function withLimits(settings: RealtimeSettings): RealtimeSettings {
  const { limits, maxPayloadKilobytes, maxFrameBytes } = settings;
  return {
    ...settings,
    maxPayloadKilobytes: limits?.payloadKilobytes ?? maxPayloadKilobytes,
    maxFrameBytes: limits?.frameBytes ?? maxFrameBytes,
  };
}

/** Room for the envelope, as the server this one follows counts it. */
export function maxPayloadBytes(settings: RealtimeSettings): number {
  return settings.maxPayloadKilobytes * 1000 + 500;
}
