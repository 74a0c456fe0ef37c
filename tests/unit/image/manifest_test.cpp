#include "image/manifest.h"

#include <gtest/gtest.h>

#include <random>

#include "image/image_config.h"
#include "image/limits.h"
#include "tests/support/requirements.h"

namespace mydocker::image {
namespace {

const std::string digest_a = "sha256:" + std::string(64, 'a');
const std::string digest_b = "sha256:" + std::string(64, 'b');

json::object make_descriptor(std::string_view type, const std::string& digest, std::int64_t size = 3) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
}

json::object make_manifest() {
  return {{"schemaVersion", 2},
          {"mediaType", media_type::oci_manifest},
          {"config", make_descriptor(media_type::oci_config, digest_a)},
          {"layers", json::array{make_descriptor(media_type::oci_layer, digest_b)}}};
}

json::object make_index(std::initializer_list<std::pair<std::string, std::string>> platforms) {
  json::array manifests;
  for (const auto& [platform, digest] : platforms) {
    json::object one = make_descriptor(media_type::oci_manifest, digest);
    if (!platform.empty()) {
      const std::size_t slash = platform.find('/');
      const std::size_t second = platform.find('/', slash + 1);
      json::object parts{{"os", platform.substr(0, slash)},
                         {"architecture", platform.substr(slash + 1, second - slash - 1)}};
      if (second != std::string::npos) parts["variant"] = platform.substr(second + 1);
      one["platform"] = parts;
    }
    manifests.push_back(one);
  }
  return {{"schemaVersion", 2}, {"mediaType", media_type::oci_index}, {"manifests", manifests}};
}

ManifestDocument parse(const json::object& document, std::string_view type = media_type::oci_manifest) {
  return parse_manifest(write_json(document), type);
}

TEST(Manifest, BothFormatsAreRead) {
  const ManifestDocument oci = parse(make_manifest());
  ASSERT_TRUE(oci.manifest);
  EXPECT_EQ(oci.manifest->config.digest.text(), digest_a);
  EXPECT_EQ(oci.manifest->layers.at(0).size, 3);
  json::object docker = make_manifest();
  docker["mediaType"] = media_type::docker_manifest;
  docker["config"] = make_descriptor(media_type::docker_config, digest_a);
  EXPECT_TRUE(parse(docker, media_type::docker_manifest).manifest);
  EXPECT_TRUE(parse(docker, "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8").manifest);
}

TEST(Manifest, MediaTypeMayBeInTheDocumentOrTheHeaderAlone) {
  json::object silent = make_manifest();
  silent.erase("mediaType");
  EXPECT_TRUE(parse(silent).manifest);
  EXPECT_TRUE(parse(make_manifest(), "application/json").manifest);
  EXPECT_TRUE(parse(make_manifest(), "").manifest);
}

TEST(Manifest, AmbiguousDocumentsAreRefused) {
  json::object both = make_manifest();
  both["manifests"] = json::array();
  EXPECT_THROW_ERROR(parse(both), ErrorKind::invalid_argument, "both a manifest and an index");
  json::object neither{{"schemaVersion", 2}};
  EXPECT_THROW_ERROR(parse(neither), ErrorKind::invalid_argument, "neither a manifest nor an index");
  EXPECT_THROW_ERROR(parse(make_manifest(), media_type::oci_index), ErrorKind::invalid_argument, "differs");
  json::object silent = make_manifest();
  silent.erase("mediaType");
  EXPECT_THROW_ERROR(parse(silent, media_type::oci_index), ErrorKind::invalid_argument, "does not fit");
  EXPECT_THROW_ERROR(parse(make_manifest(), media_type::docker_manifest), ErrorKind::invalid_argument, "differs");
  EXPECT_THROW_ERROR(parse(make_manifest(), "text/html"), ErrorKind::invalid_argument, "unsupported media type");
}

TEST(Manifest, SchemaOneIsRefusedClearly) {
  json::object old{{"schemaVersion", 1}, {"name", "x"}, {"fsLayers", json::array()}};
  EXPECT_THROW_ERROR(parse(old, media_type::docker_schema1_signed), ErrorKind::invalid_argument, "schema 1");
  EXPECT_THROW_ERROR(parse(old, "application/json"), ErrorKind::invalid_argument, "schema 1");
}

TEST(Manifest, BadDigestsAndSizesAreRefused) {
  for (const std::string& digest :
       {std::string(""), std::string("sha256:../../etc/passwd"), "sha256:" + std::string(63, 'a'),
        "sha256:" + std::string(64, 'A'), "sha512:" + std::string(128, 'a'), "md5:" + std::string(32, 'a'),
        digest_a + "/", digest_a + std::string(1, '\0'), std::string(64, 'a')}) {
    json::object bad = make_manifest();
    bad["layers"] = json::array{make_descriptor(media_type::oci_layer, digest)};
    EXPECT_THROW_ERROR(parse(bad), ErrorKind::invalid_argument, "invalid digest");
    bad = make_manifest();
    bad["config"] = make_descriptor(media_type::oci_config, digest);
    EXPECT_THROW_ERROR(parse(bad), ErrorKind::invalid_argument, "invalid digest");
  }
  json::object negative = make_manifest();
  negative["layers"] = json::array{make_descriptor(media_type::oci_layer, digest_b, -1)};
  EXPECT_THROW_ERROR(parse(negative), ErrorKind::invalid_argument, "no size");
  json::object huge = make_manifest();
  huge["config"] = make_descriptor(media_type::oci_config, digest_a, 1 << 30);
  EXPECT_THROW_ERROR(parse(huge), ErrorKind::invalid_argument, "config is too large");
}

TEST(Manifest, ArtifactsAreNoImages) {
  json::object chart = make_manifest();
  chart["config"] = make_descriptor("application/vnd.cncf.helm.config.v1+json", digest_a);
  EXPECT_THROW_ERROR(parse(chart), ErrorKind::invalid_argument, "unsupported config media type");
}

TEST(Manifest, LimitsHold) {
  json::object many = make_manifest();
  json::array layers;
  for (std::size_t i = 0; i <= max_manifest_layers; ++i)
    layers.push_back(make_descriptor(media_type::oci_layer, digest_b));
  many["layers"] = layers;
  EXPECT_THROW_ERROR(parse(many), ErrorKind::invalid_argument, "too many layers");
  EXPECT_THROW_ERROR(parse_manifest(std::string(max_manifest_bytes + 1, ' '), ""), ErrorKind::invalid_argument,
                     "too large");
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "[";
  EXPECT_THROW(parse_manifest(deep, ""), Error);
}

TEST(Manifest, MutatedDocumentsNeverCrash) {
  const std::string good = write_json(make_manifest());
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (int i = 0; i < 1 + round % 5; ++i) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 8);
          break;
        case 2:
          bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 32));
          break;
        default:
          std::swap(bytes[at], bytes[random() % bytes.size()]);
          break;
      }
      if (bytes.empty()) bytes = "{";
    }
    try {
      parse_manifest(bytes, media_type::oci_manifest);
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_LT(accepted, 3000);
}

TEST(Manifest, PlatformIsSelected) {
  const Index index =
      *parse(make_index({{"linux/arm64", digest_a}, {"linux/amd64", digest_b}, {"unknown/unknown", digest_a}}),
             media_type::oci_index)
           .index;
  EXPECT_EQ(select_platform(index, {"amd64", "linux", "", ""}).digest.text(), digest_b);
  EXPECT_EQ(select_platform(index, parse_platform("linux/arm64/v8")).digest.text(), digest_a);
  EXPECT_THROW_ERROR(select_platform(index, parse_platform("linux/s390x")), ErrorKind::not_found,
                     "no matching manifest for linux/s390x in the manifest list entries");
}

TEST(Manifest, VariantsAreMatched) {
  const Index index =
      *parse(make_index({{"linux/amd64/v3", digest_a}, {"linux/amd64", digest_b}}), media_type::oci_index).index;
  EXPECT_EQ(select_platform(index, {"amd64", "linux", "", ""}).digest.text(), digest_b);
  EXPECT_TRUE(matches(parse_platform("arm64"), {"arm64", "linux", "", "v8"}));
  EXPECT_TRUE(matches(parse_platform("linux/arm/v7"), {"arm", "linux", "", "v7"}));
  EXPECT_FALSE(matches(parse_platform("linux/arm/v6"), {"arm", "linux", "", "v7"}));
  EXPECT_FALSE(matches(parse_platform("linux/amd64"), {"amd64", "windows", "", ""}));
}

TEST(Manifest, PlatformsAreParsed) {
  EXPECT_EQ(to_string(parse_platform("x86_64")), "linux/amd64");
  EXPECT_EQ(to_string(parse_platform("linux/aarch64")), "linux/arm64");
  EXPECT_EQ(to_string(parse_platform("")), concat("linux/", host_architecture()));
  for (const char* bad : {"a/b/c/d", "linux/", "/amd64", "lin ux/amd64", "nonsense"}) {
    EXPECT_THROW_ERROR(parse_platform(bad), ErrorKind::invalid_argument, "");
  }
}

}  // namespace
}  // namespace mydocker::image
