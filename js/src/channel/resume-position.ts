/** The position in the message order: which messages are new, and where the next connection starts. */

import type { SessionInfo } from "../protocol/frames.js";
import { comparePositions } from "../protocol/position.js";
import { tokenStart } from "../protocol/token.js";

export class ResumePosition {
  /** Resume after this id. */
  lastId: string | null;
  /**
   * Used while `lastId` is null: where the first connection of uncertain outcome started. The server
   * may have sent messages on it that did not arrive.
   */
  since: string | null = null;
  /** The id of the last delivered message. */
  private _lastDelivered: string | null;

  constructor(lastId: string | null) {
    this.lastId = this._lastDelivered = lastId;
  }

  /** Take the id of a received message. Returns false for a duplicate, which is not to be delivered. */
  accept(id: string): boolean {
    if (this._lastDelivered !== null && comparePositions(id, this._lastDelivered) <= 0) return false;
    this.lastId = this._lastDelivered = id;
    return true;
  }

  /** Take the id that an "open" frame gives as the start of a connection. */
  startFrom({ id, recovered }: SessionInfo): void {
    if (id === null) return;
    if (this.lastId === null || comparePositions(id, this.lastId) > 0) {
      this.lastId = id;
    } else if (recovered === false && id !== this.lastId) {
      // The server's ids started again, so a lower id is no longer a duplicate.
      this.lastId = id;
      this._lastDelivered = null;
    }
  }

  /**
   * A connection with `token` ended without a close code. If it was the first one, its "open" frame or
   * first poll answer may have been lost on the way, and messages with it.
   */
  markUncertain(token: string): void {
    this.since ??= tokenStart(token);
  }
}
