import type { Failure } from "#protocol/failure";

/** What a person reads when something goes wrong: what happened, what is safe, and whether trying again can help. */
export interface FailureText {
  readonly title: string;
  readonly safe: string;
  readonly advice: string;
  readonly retryable: boolean;
}

const saved = "What you saved is on this device.";

export function describe(failure: Failure): FailureText {
  switch (failure.code) {
    case "not-found":
      return text(
        "Part of this machine is missing",
        saved,
        `The server no longer has ${failure.what}. It needs to be published again.`,
        true,
      );
    case "offline":
      return text(
        "The network is gone",
        "The machine is paused and nothing is lost.",
        "It goes on by itself when the network is back.",
        true,
      );
    case "corrupt":
      return text(
        "A download arrives damaged again and again",
        "The damaged part was thrown away; the machine is paused.",
        "Trying again usually fixes it.",
        true,
      );
    case "image-changed":
      return text(
        "This disk was replaced while you used it",
        saved,
        "Start the machine again to use the new one. Your changes belong to the old one.",
        false,
      );
    case "bad-manifest":
      return text(
        "This disk's index cannot be read",
        saved,
        `It is not in a form this version understands: ${failure.problem}`,
        false,
      );
    case "storage-full":
      return text(
        "This device is full",
        "Everything the machine was told is saved, is saved. The machine is paused.",
        "Free some space, then try again.",
        true,
      );
    case "disk-busy":
      return text(
        "This machine is open in another tab",
        "Nothing was changed.",
        "Close it there, then try again.",
        true,
      );
    case "storage-unavailable":
      return text(
        "This browser does not let Virga keep files",
        "Nothing was changed.",
        failure.problem,
        true,
      );
    case "bad-request":
      return text("That cannot be done", "Nothing was changed.", failure.problem, false);
    case "bad-image":
      return text("This machine cannot start", "Nothing was changed.", failure.problem, false);
    case "too-large":
      return text(
        "That is too big to send",
        "Nothing was changed.",
        `At most ${failure.limitBytes} bytes are taken at a time.`,
        false,
      );
    case "too-many-requests":
      return text(
        "The server asks for a pause",
        saved,
        `Try again in ${failure.retryAfterSeconds} seconds.`,
        true,
      );
    case "unauthorized":
      return text("You need to sign in for this", "Nothing was changed.", "Sign in, then try again.", true);
    case "expired":
      return text("This link has run out", saved, "Trying again fetches a new one.", true);
    case "out-of-range":
      return text("The disk is smaller than its index says", saved, "It needs to be published again.", false);
    case "unsupported":
      return text(
        "This browser cannot do that",
        "Nothing was changed.",
        `It lacks ${failure.feature}.`,
        false,
      );
    case "tunnel-refused":
      return text(
        "The internet is closed to this machine",
        "The machine goes on without it.",
        failure.sentence,
        true,
      );
    case "guest-crashed":
      return text(
        "The machine crashed",
        `${saved} Unsaved work inside the machine is lost.`,
        `${failure.problem} Starting it again is safe.`,
        true,
      );
    case "internal":
      return text(
        "Something broke on our side",
        saved,
        `Starting again is safe. Quote ${failure.incident} if you report it.`,
        true,
      );
    default:
      return failure satisfies never;
  }
}

const text = (title: string, safe: string, advice: string, retryable: boolean): FailureText => ({
  title,
  safe,
  advice,
  retryable,
});

/** The line to quote: the code and its details, without names of people or places. */
export const codeOf = (failure: Failure): string =>
  Object.entries(failure)
    .map(([key, value]) => (key === "code" ? String(value) : `${key} ${String(value)}`))
    .join(" · ");
