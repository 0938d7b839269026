/**
 * Tokens: JWTs in compact form (RFC 7519).
 *
 * The client does not have the key, so it cannot verify a token. It reads the claims as hints only;
 * the server decides.
 */

import { positionOrNull } from "./position.js";

/** The claims that the client reads. */
export interface Claims {
  /** The client ID. */
  sub?: string;
  /** When the token expires, in seconds of Unix time. */
  exp?: number;
  /** The position when the token was made. */
  pos?: string;
  groups?: string[];
}

/**
 * Whether `token` has the form of a compact JWT (RFC 7515 section 7.1). Anything else may not be
 * valid in an HTTP header or as a subprotocol.
 */
export function isToken(token: string): boolean {
  return /^[\w-]+(\.[\w-]*)*$/.test(token);
}

/** The claims of `token`, not verified; empty if it cannot be decoded. */
export function readClaims(token: string): Claims {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return {};
  }
}

/** The position where a first connection with `token` starts, from its `pos` claim. */
export function tokenStart(token: string): string | null {
  return positionOrNull(readClaims(token).pos);
}
