/** Names for services that were given none. */
import { newID, type Random } from "../../api/random.ts";
import type { ReadView } from "../store/store.ts";

const QUALITIES =
  ("able airy amber bold brave brisk calm clear clever cosy crisp dapper deft eager early even fair fast " +
    "fine firm fond fresh gentle glad golden grand green happy hardy honest jolly keen kind lively lucky mellow merry " +
    "mighty modest neat nimble noble patient plain proud quick quiet rapid ready royal sharp silent silver smart smooth " +
    "snug sober solid steady sunny swift tidy warm wise").split(" ");
const BEINGS =
  ("ant badger bear beaver bee bison boar buzzard carp cat cod crab crane cricket crow deer dolphin dove duck " +
    "eagle eel elk falcon ferret finch fox frog goat goose gull hare hawk hedgehog heron horse ibex jay kestrel lark " +
    "lizard lynx magpie marten mole moth mouse newt otter owl perch pike plover quail rabbit raven robin salmon seal " +
    "shrew snail sparrow stork swan trout").split(" ");
/** Tries before a name is made longer: with half of the names taken, one in a thousand creates needs that. */
const MAX_TRIES = 10;

/** A name such as `brisk_otter` that no service has, as far as `view` knows. */
export function freeName(view: ReadView, random: Random): string {
  const name = () => `${pick(QUALITIES, random)}_${pick(BEINGS, random)}`;
  for (let i = 0; i < MAX_TRIES; i++) {
    const found = name();
    if (view.find("services", "name", found).length === 0) return found;
  }
  return `${name()}_${newID(random).slice(-8)}`;
}

function pick(words: readonly string[], random: Random): string {
  return words[Math.min(Math.floor(random.float() * words.length), words.length - 1)]!;
}
