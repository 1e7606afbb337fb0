// What methods show and what they do not, in words for who looks at a map.
import { named } from "./words.js";

// shows is what a method shows and what it does not; of one without words, nothing.
export const shows = (method) => [named("shows", method), named("shows-not", method)].map((said) => said === method ? "" : said);
