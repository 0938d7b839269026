/** Update-messages from the client to the server: target, answer and error. */

/** The recipient of an update-message: clients, a group, or the application if neither is given. */
export interface Target {
  to?: string | readonly string[];
  group?: string;
  /**
   * How to send it. `"http"`, the default, makes one request per message. `"socket"` uses the open
   * WebSocket, if there is one. It costs less, and does not wait for the answer to the previous
   * message while fewer than 64 answers are outstanding.
   */
  over?: "http" | "socket";
}

/** The server's answer: `id` and `sessions` if it relayed the message, empty if the application took it. */
export interface SendAnswer {
  id?: string;
  sessions?: number;
}

/** A message was not sent, or its answer did not arrive. */
export class SendError extends Error {
  override readonly name = "SendError";

  /**
   * `status` is the HTTP status, or 0 if there was no answer. With status 0 the message may or may
   * not have arrived.
   */
  constructor(
    message: string,
    readonly status = 0,
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

/** The error for a message that may or may not have arrived. */
export function noAnswerError(cause: unknown = "it took over 30 s"): SendError {
  return new SendError(`no answer from the server: ${cause}`);
}
