/** The messages that tabs exchange over a BroadcastChannel to share one connection. */

import type { CloseInfo } from "../protocol/close-info.js";
import type { Frame, Message, SessionInfo } from "../protocol/frames.js";

export interface JoinRequest {
  kind: "join";
  /** The sending tab. */
  from: string;
  /** Its last message id, if it resumes. */
  after: string | null;
  /** Where a first connection with its token starts. */
  pos: string | null;
}

export type TabMessage =
  /** From a tab to the leader: asks to follow. */
  | JoinRequest
  /** From the leader, which is not open yet: wait for it. An empty `to` means all tabs. */
  | { kind: "wait"; to: string }
  /** From the leader: the tab may follow. `missed` has the messages since its position. */
  | { kind: "accept"; to: string; session: SessionInfo; missed: Message[] }
  /** From the leader: it no longer has all messages since the tab's position. */
  | { kind: "reject"; to: string }
  /** From the leader to its followers: a frame from the server. */
  | { kind: "frame"; frame: Frame }
  /** From the leader to its followers: the connection ended. */
  | { kind: "close"; info: CloseInfo };
