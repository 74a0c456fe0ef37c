#include "engine/name_generator.h"

#include <random>
#include <string_view>

namespace mydocker::engine {
namespace {

constexpr std::string_view adjectives[] = {
    "able",     "agile",    "amber",  "ample",  "bold",    "brave",  "bright",  "brisk",  "calm",   "candid",
    "clear",    "clever",   "cosmic", "crisp",  "curious", "daring", "deft",    "eager",  "early",  "fair",
    "fearless", "fleet",    "fond",   "frank",  "gentle",  "glad",   "golden",  "grand",  "happy",  "hardy",
    "honest",   "humble",   "jolly",  "keen",   "kind",    "lively", "loyal",   "lucid",  "lucky",  "mellow",
    "merry",    "mighty",   "modest", "neat",   "nimble",  "noble",  "patient", "placid", "plucky", "polite",
    "proud",    "quick",    "quiet",  "rapid",  "ready",   "robust", "serene",  "sharp",  "silent", "sincere",
    "smooth",   "solid",    "spry",   "steady", "stoic",   "sturdy", "subtle",  "sunny",  "swift",  "tender",
    "tidy",     "tranquil", "trusty", "upbeat", "vivid",   "warm",   "wise",    "witty",  "zesty"};

constexpr std::string_view surnames[] = {
    "abel",     "ada",        "ampere",   "babbage",    "banach",    "bernoulli",   "bohr",       "bolyai",
    "boole",    "brahe",      "cantor",   "carson",     "cauchy",    "cerf",        "church",     "codd",
    "conway",   "copernicus", "cori",     "curie",      "dalton",    "darwin",      "descartes",  "diffie",
    "dijkstra", "dirac",      "edison",   "einstein",   "engelbart", "erdos",       "euclid",     "euler",
    "faraday",  "fermat",     "fermi",    "feynman",    "fourier",   "franklin",    "galileo",    "galois",
    "gauss",    "germain",    "goedel",   "goodall",    "hamilton",  "hawking",     "heisenberg", "hertz",
    "hilbert",  "hoare",      "hopper",   "hubble",     "huygens",   "hypatia",     "jacobi",     "joule",
    "kelvin",   "kepler",     "knuth",    "kolmogorov", "lagrange",  "lamarr",      "lamport",    "laplace",
    "leibniz",  "liskov",     "lovelace", "markov",     "maxwell",   "meitner",     "mendel",     "mendeleev",
    "minsky",   "moore",      "napier",   "nash",       "newton",    "nightingale", "noether",    "ohm",
    "pascal",   "pasteur",    "pauli",    "perlman",    "planck",    "poincare",    "ptolemy",    "ramanujan",
    "riemann",  "ritchie",    "rubin",    "sagan",      "shannon",   "stonebraker", "tesla",      "thompson",
    "turing",   "volta",      "watt",     "wiles",      "wirth",     "wu",          "yonath",     "zuse"};

}  // namespace

std::string generate_name(const std::string& id, const std::function<bool(const std::string&)>& is_taken) {
  std::random_device random;
  const auto pick = [&](const auto& words) {
    return std::string(words[std::uniform_int_distribution<std::size_t>(0, std::size(words) - 1)(random)]);
  };
  constexpr int tries = 6;
  for (int attempt = 0; attempt < tries; ++attempt) {
    std::string name = pick(adjectives) + "_" + pick(surnames);
    if (attempt > 0) name += std::to_string(std::uniform_int_distribution<int>(0, 9)(random));
    if (!is_taken(name)) return name;
  }
  return id.substr(0, 12);
}

}  // namespace mydocker::engine
