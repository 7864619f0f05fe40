import { Ntp } from "../net/ntp.ts";
import type { OpenDatagrams } from "./flow.ts";
import type { Names } from "./names.ts";

const DNS_PORT = 53;
const NTP_PORT = 123;

/** Answers DNS and NTP wherever they were sent to; the rest goes on to `next`. */
export function localDatagrams(names: Names, now: () => number, next: OpenDatagrams): OpenDatagrams {
  const ntp = new Ntp(0);
  return (sink) => {
    const further = next(sink);
    let isClosed = false;
    return {
      send(from, to, payload) {
        if (isClosed) return null;
        if (to.port === DNS_PORT) {
          names.ask(payload, (answer) => {
            if (!isClosed) sink.onReply(to, from, answer);
          });
          return null;
        }
        if (to.port === NTP_PORT) {
          const answer = ntp.answer(payload, now());
          if (answer) sink.onReply(to, from, answer);
          return null;
        }
        return further.send(from, to, payload);
      },
      unheard(from, to) {
        further.unheard?.(from, to);
      },
      close() {
        isClosed = true;
        further.close();
      },
    };
  };
}
