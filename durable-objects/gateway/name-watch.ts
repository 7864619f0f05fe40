import { dnsCodes, nameText, readDns } from "../net/dns-message.ts";

/** A DNS message in, an answer out; null where nobody answers. */
type Resolve = (message: Uint8Array) => Promise<Uint8Array | null>;

/** As long as a name may be (RFC 1035 §2.3.4). */
const NAME_LENGTH = 253;

/** `resolve`, which tells whether name servers answer at first and when that changes. `failing`: the name of which none did. */
export function watchNames(resolve: Resolve, tell: (failing: string | undefined) => void): Resolve {
  let wasFailing: boolean | undefined;
  return async (message) => {
    const answer = await resolve(message).catch(() => null);
    // The response code is the last four bits of the flags (RFC 1035 §4.1.1).
    const isFailing = answer === null || (answer[3]! & 15) === dnsCodes.serverFailure;
    if (isFailing !== wasFailing) {
      wasFailing = isFailing;
      tell(isFailing ? nameOf(message) : undefined);
    }
    return answer;
  };
}

function nameOf(message: Uint8Array): string {
  const question = readDns(message.slice())?.question;
  return question ? nameText(question.name).slice(0, NAME_LENGTH) : "";
}
