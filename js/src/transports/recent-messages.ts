/** Recent messages, kept by the leading tab so that other tabs can join or resume. */

import type { Message } from "../protocol/frames.js";
import { comparePositions } from "../protocol/position.js";

import { RECENT_MAX_CHARACTERS, RECENT_MAX_MESSAGES } from "./limits.js";

/** All messages after the id `floor`, in order. Beyond the limits the oldest are removed. */
export class RecentMessages {
  /** null: not known. Then no other tab can resume from these messages. */
  floor: string | null = null;
  private _messages: Message[] = [];
  private _characters = 0;

  push(message: Message): void {
    this._messages.push(message);
    this._characters += message.data.length;
    while (this._messages.length > RECENT_MAX_MESSAGES || this._characters > RECENT_MAX_CHARACTERS) {
      const oldest = this._messages.shift() as Message;
      this._characters -= oldest.data.length;
      this.floor = oldest.id;
    }
  }

  /** Remove all messages and start again after the id `floor`. */
  clear(floor: string | null): void {
    this.floor = floor;
    this._messages = [];
    this._characters = 0;
  }

  /** Whether all messages after `id` are here. */
  covers(id: string): boolean {
    return this.floor !== null && comparePositions(id, this.floor) >= 0;
  }

  /** The messages after `id`. */
  after(id: string): Message[] {
    return this._messages.filter((message) => comparePositions(message.id, id) > 0);
  }
}
