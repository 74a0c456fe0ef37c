#include "image/image_store.h"

#include "tests/unit/image/image_fixture.h"

namespace mydocker::image {
namespace {

using test::make_image;
using test::make_tar;

class ImageStoreTest : public test::StoreFixture {
 protected:
  std::vector<std::string> remove(std::string_view name, RemoveOptions options = {}, std::vector<ImageUse> uses = {}) {
    std::vector<std::string> out;
    for (const DeletedItem& item : images->remove(name, options, uses)) {
      out.push_back(item.untagged.empty() ? "Deleted: " + item.deleted : "Untagged: " + item.untagged);
    }
    return out;
  }
  static ImageUse use(const Image& image, bool running) { return {std::string(64, 'c'), image.id, running}; }
  const std::string in_use_by = std::string(12, 'c');
};

using Strings = std::vector<std::string>;

TEST_F(ImageStoreTest, FindsByEveryKindOfName) {
  const Image image = add(test::three_layer_image(), {"busybox:1", "localhost:5000/t/app"});
  for (const std::string& name :
       Strings{"busybox:1", "docker.io/library/busybox:1", "localhost:5000/t/app", "localhost:5000/t/app:latest",
               image.id.text(), image.id.hex(), image.id.short_hex(), image.id.hex().substr(0, 1),
               image.id.text().substr(0, 12)}) {
    const auto found = images->find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->id, image.id);
  }
  EXPECT_FALSE(images->find("busybox"));
  EXPECT_EQ(image.repo_tags, (Strings{"busybox:1", "localhost:5000/t/app:latest"}));
  EXPECT_EQ(image.diff_ids.size(), 3U);
  EXPECT_EQ(image.size_bytes, 1 + 100000 + 300000 + 1);
}

TEST_F(ImageStoreTest, UnknownNamesAreNotFoundInTheirNormalForm) {
  EXPECT_THROW_ERROR(images->get("nope"), ErrorKind::not_found, "No such image: nope:latest");
  EXPECT_THROW_ERROR(images->get("docker.io/library/nope:1"), ErrorKind::not_found, "No such image: nope:1");
  EXPECT_THROW_ERROR(images->get(std::string(64, 'a')), ErrorKind::not_found, "No such image: sha256:aaaa");
  EXPECT_THROW_ERROR(images->get("No/Good"), ErrorKind::invalid_argument, "must be lowercase");
}

TEST_F(ImageStoreTest, ANameWinsOverAPrefix) {
  const Image a = add(make_image({}, {"ENV A=1"}));
  const Image b = add(make_image({}, {"ENV A=2"}), {a.id.hex().substr(0, 4) + ":latest"});
  EXPECT_EQ(images->get(a.id.hex().substr(0, 4)).id, b.id);
  EXPECT_EQ(images->get(a.id.hex().substr(0, 5)).id, a.id);
}

TEST_F(ImageStoreTest, SurvivesARestart) {
  const Image before = add(test::three_layer_image(), {"a:1"});
  restart();
  const Image after = images->get("a:1");
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.chain_id, before.chain_id);
  EXPECT_EQ(after.config().cmd, (Strings{"sh"}));
  EXPECT_EQ(images->config_json(after.id), test::three_layer_image().config);
  EXPECT_EQ(layers->stack(after.chain_id).size(), 3U);
}

TEST_F(ImageStoreTest, AMissingLayerIsRefusedAndLeavesNothing) {
  EXPECT_THROW_ERROR(images->add({test::three_layer_image().config, {}, {}}), ErrorKind::not_found, "layer");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(ImageStoreTest, ATagMovesAndTheOldImageDangles) {
  const Image old = add(make_image({}, {"ENV A=1"}), {"a"});
  const Image fresh = add(make_image({}, {"ENV A=2"}), {"a"});
  EXPECT_EQ(images->get("a").id, fresh.id);
  EXPECT_TRUE(images->find_by_id(old.id)->dangling());
  EXPECT_EQ(images->list().size(), 2U);
}

TEST_F(ImageStoreTest, TagRules) {
  const Image image = add(make_image({}), {"a"});
  EXPECT_EQ(images->tag("a", Reference::parse("b/c")).repo_tags, (Strings{"a:latest", "b/c:latest"}));
  EXPECT_GT(to_unix_seconds(images->get("a").last_tagged), 1700000000);
  EXPECT_THROW_ERROR(images->tag("a", Reference::parse("sha256")), ErrorKind::invalid_argument, "ambiguous tag");
  EXPECT_THROW_ERROR(images->tag("a", Reference::parse("x@" + image.id.text())), ErrorKind::invalid_argument,
                     "digest reference");
  EXPECT_THROW_ERROR(images->tag("nope", Reference::parse("x")), ErrorKind::not_found, "No such image: nope:latest");
}

TEST_F(ImageStoreTest, RemovingTheLastNameRemovesImageAndLayers) {
  const Image image = add(test::three_layer_image(), {"a"});
  const std::vector<storage::Layer> stack = layers->stack(image.chain_id);
  EXPECT_EQ(remove("a"),
            (Strings{"Untagged: a:latest", "Deleted: " + image.id.text(), "Deleted: " + stack[0].chain_id.text(),
                     "Deleted: " + stack[1].chain_id.text(), "Deleted: " + stack[2].chain_id.text()}));
  EXPECT_EQ(leftovers(), "");
  EXPECT_THROW_ERROR(remove("a"), ErrorKind::not_found, "No such image: a:latest");
}

TEST_F(ImageStoreTest, RemovingOneOfTwoNamesOnlyUntags) {
  add(make_image({}), {"a", "b"});
  EXPECT_EQ(remove("a"), (Strings{"Untagged: a:latest"}));
  EXPECT_TRUE(images->find("b"));
}

TEST_F(ImageStoreTest, DigestsGoWithTheLastTagOfTheirRepository) {
  const test::TestImage made = make_image({});
  const Digest digest = sha256_of("manifest");
  const Image image = images->add(
      {made.config, {}, {Reference::parse("a:1"), Reference::parse("a").with_digest(digest), Reference::parse("b:1")}});
  EXPECT_EQ(image.repo_digests, (Strings{"a@" + digest.text()}));
  EXPECT_EQ(images->get("a@" + digest.text()).id, image.id);
  EXPECT_EQ(images->get("a:other@" + digest.text()).id, image.id);
  EXPECT_EQ(remove("a:1"), (Strings{"Untagged: a:1", "Untagged: a@" + digest.text()}));
  EXPECT_EQ(remove("b:1"), (Strings{"Untagged: b:1", "Deleted: " + image.id.text()}));
}

TEST_F(ImageStoreTest, RemovingById) {
  const Image one = add(make_image({}, {"ENV A=1"}), {"a"});
  EXPECT_EQ(remove(one.id.short_hex()), (Strings{"Untagged: a:latest", "Deleted: " + one.id.text()}));
  const Image two = add(make_image({}, {"ENV A=2"}), {"a", "b"});
  EXPECT_THROW_ERROR(remove(two.id.hex()), ErrorKind::conflict,
                     "conflict: unable to delete " + two.id.short_hex() +
                         " (must be forced) - image is referenced in multiple repositories");
  EXPECT_EQ(remove(two.id.hex(), {.force = true}),
            (Strings{"Untagged: a:latest", "Untagged: b:latest", "Deleted: " + two.id.text()}));
}

TEST_F(ImageStoreTest, StoppedContainersMustBeForced) {
  const Image image = add(make_image({}), {"bb"});
  const std::vector<ImageUse> uses{use(image, false)};
  EXPECT_THROW_ERROR(remove("bb", {}, uses), ErrorKind::conflict,
                     "conflict: unable to remove repository reference \"bb\" (must force) - container " + in_use_by +
                         " is using its referenced image " + image.id.short_hex());
  EXPECT_THROW_ERROR(remove(image.id.hex(), {}, uses), ErrorKind::conflict,
                     "conflict: unable to delete " + image.id.short_hex() +
                         " (must be forced) - image is being used by stopped container " + in_use_by);
  EXPECT_EQ(remove("bb", {.force = true}, uses).back(), "Deleted: " + image.id.text());
}

TEST_F(ImageStoreTest, RunningContainersCannotBeForced) {
  const Image image = add(make_image({}), {"bb"});
  const std::vector<ImageUse> uses{use(image, true)};
  EXPECT_THROW_ERROR(remove(image.id.hex(), {.force = true}, uses), ErrorKind::conflict,
                     "conflict: unable to delete " + image.id.short_hex() +
                         " (cannot be forced) - image is being used by running container " + in_use_by);
  EXPECT_EQ(remove("bb", {.force = true}, uses), (Strings{"Untagged: bb:latest"}));
  EXPECT_TRUE(images->find_by_id(image.id));
}

TEST_F(ImageStoreTest, ParentsStayForTheirChildrenAndGoWithThem) {
  const Image parent = add(make_image({}, {"ENV A=1"}), {"base"});
  const Image child = add(make_image({}, {"ENV A=2"}), {"app"}, parent.id);
  EXPECT_THROW_ERROR(
      remove(parent.id.hex(), {.force = true}), ErrorKind::conflict,
      "conflict: unable to delete " + parent.id.short_hex() + " (cannot be forced) - image has dependent child images");
  EXPECT_EQ(remove("base"), (Strings{"Untagged: base:latest"}));
  EXPECT_EQ(images->children(parent.id), (std::vector<Digest>{child.id}));
  EXPECT_EQ(remove("app", {.noprune = true}), (Strings{"Untagged: app:latest", "Deleted: " + child.id.text()}));
  EXPECT_TRUE(images->find_by_id(parent.id));
  add(make_image({}, {"ENV A=2"}), {"app"}, parent.id);
  EXPECT_EQ(remove("app"),
            (Strings{"Untagged: app:latest", "Deleted: " + child.id.text(), "Deleted: " + parent.id.text()}));
}

TEST_F(ImageStoreTest, LayersSharedWithAnotherImageStay) {
  test::TestImage small = test::three_layer_image();
  const Image all = add(small, {"all"});
  const Image two = add(make_image({small.layers[0], small.layers[1]}), {"two"});
  EXPECT_EQ(remove("all").size(), 3U);  // name, image, the topmost layer
  EXPECT_EQ(layers->stack(two.chain_id).size(), 2U);
}

TEST_F(ImageStoreTest, HistoryNamesImagesSizesAndTags) {
  const Image image = add(test::three_layer_image(), {"a:1"});
  const std::vector<HistoryItem> items = images->history("a:1");
  ASSERT_EQ(items.size(), 4U);
  EXPECT_EQ(items[0].id, image.id.text());
  EXPECT_EQ(items[0].tags, (Strings{"a:1"}));
  EXPECT_EQ(items[0].size_bytes, 0);
  EXPECT_EQ(items[1].size_bytes, 1);
  EXPECT_EQ(items[2].size_bytes, 300000);
  EXPECT_EQ(items[3].id, "<missing>");
  EXPECT_EQ(to_unix_seconds(items[3].created), 1767323045);
}

TEST_F(ImageStoreTest, UnusedDanglingImagesAreRemoved) {
  const Image image = add(make_image({}));
  const std::vector<ImageUse> uses{use(image, false)};
  EXPECT_TRUE(images->remove_if_unused(image.id, uses).empty());
  EXPECT_EQ(images->remove_if_unused(image.id, {}).size(), 1U);
  const Image tagged = add(make_image({}), {"a"});
  EXPECT_TRUE(images->remove_if_unused(tagged.id, {}).empty());
}

}  // namespace
}  // namespace mydocker::image
