#include "image/image_config.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker::image {
namespace {

using Words = std::vector<std::string>;

ImageConfig changed(const Words& lines, ImageConfig config = {}) {
  apply_changes(config, lines);
  return config;
}

TEST(Changes, CommandsHaveTwoForms) {
  EXPECT_EQ(changed({"CMD [\"a\", \"b c\"]"}).cmd, (Words{"a", "b c"}));
  EXPECT_EQ(changed({"CMD echo  hi"}).cmd, (Words{"/bin/sh", "-c", "echo  hi"}));
  EXPECT_EQ(changed({"entrypoint [\"x\"]"}).entrypoint, (Words{"x"}));
  EXPECT_EQ(changed({"CMD [not json"}).cmd, (Words{"/bin/sh", "-c", "[not json"}));
}

TEST(Changes, EnvIsSetReplacedAndExpanded) {
  const ImageConfig config =
      changed({"ENV A=1 B=\"two words\" C='$A'", "ENV A=3", "ENV D old form", "ENV E=$A/${B:-x} F=${G:-y}"});
  EXPECT_EQ(config.env, (Words{"A=3", "B=two words", "C=$A", "D=old form", "E=3/two words", "F=y"}));
}

TEST(Changes, TheOthers) {
  const ImageConfig config =
      changed({"EXPOSE 80 90/udp 7000-7002", "LABEL a=b \"c d\"=\"e f\"", "ONBUILD RUN x", "USER 1:2", "VOLUME /a /b",
               "VOLUME [\"/c d\"]", "WORKDIR /x", "WORKDIR y/../z", "STOPSIGNAL SIGINT",
               "HEALTHCHECK --interval=5s --retries=2 CMD test -f /x", "# comment", ""});
  EXPECT_EQ(config.exposed_ports.size(), 5U);
  EXPECT_TRUE(config.exposed_ports.contains("90/udp"));
  EXPECT_TRUE(config.exposed_ports.contains("7002/tcp"));
  EXPECT_EQ(config.labels->at("c d"), "e f");
  EXPECT_EQ(config.on_build, (Words{"RUN x"}));
  EXPECT_EQ(config.user, "1:2");
  EXPECT_TRUE(config.volumes.contains("/c d"));
  EXPECT_EQ(config.working_dir, "/x/z");
  EXPECT_EQ(config.stop_signal, "SIGINT");
  EXPECT_EQ(config.healthcheck->test, (Words{"CMD-SHELL", "test -f /x"}));
  EXPECT_EQ(config.healthcheck->interval, 5000000000);
  EXPECT_EQ(config.healthcheck->retries, 2);
}

TEST(Changes, OthersAreRefused) {
  EXPECT_THROW_ERROR(changed({"RUN x"}), ErrorKind::invalid_argument, "RUN is not a valid change command");
  EXPECT_THROW_ERROR(changed({"FROM x"}), ErrorKind::invalid_argument, "FROM is not a valid change command");
  EXPECT_THROW_ERROR(changed({"CMD"}), ErrorKind::invalid_argument, "CMD requires at least one argument");
  EXPECT_THROW_ERROR(changed({"ENV A"}), ErrorKind::invalid_argument, "ENV must have two arguments");
  EXPECT_THROW_ERROR(changed({"EXPOSE x"}), ErrorKind::invalid_argument, "invalid containerPort");
  EXPECT_THROW_ERROR(changed({"EXPOSE 70000"}), ErrorKind::invalid_argument, "invalid containerPort");
  EXPECT_THROW_ERROR(changed({"LABEL a='b"}), ErrorKind::invalid_argument, "");
}

TEST(ImageDocument, SurvivesWritingAndReading) {
  ImageDocument document = make_empty_document();
  document.config.env = Words{"A=1"};
  document.config.labels = std::map<std::string, std::string>{{"k", "v"}};
  document.rootfs.diff_ids = {"sha256:" + std::string(64, 'a')};
  document.history.push_back({.created = document.created, .created_by = "x"});
  const ImageDocument back = parse_image_document(make_document_json(document));
  EXPECT_EQ(make_document_json(back), make_document_json(document));
  EXPECT_EQ(back.os, "linux");
  EXPECT_EQ(diff_ids_of(back).size(), 1U);
}

TEST(ImageDocument, HostileOnesAreRefused) {
  for (const char* bad :
       {"", "[]", "null", "{}", "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../..\"]}}",
        "{\"rootfs\":{\"type\":\"magic\",\"diff_ids\":[]}}", "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
        "{\"config\":{\"Env\":\"x\"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"}) {
    EXPECT_THROW_ERROR(parse_image_document(bad), ErrorKind::invalid_argument, "");
  }
  std::string deep = "{\"rootfs\":";
  for (int i = 0; i < 1000; ++i) deep += "[";
  EXPECT_THROW(parse_image_document(deep), Error);
  EXPECT_THROW(parse_image_document(std::string(9U << 20U, ' ')), Error);
}

TEST(ImageDocument, ReservedLabelsAreDropped) {
  const ImageDocument document = parse_image_document(
      R"({"config":{"Labels":{"containerd.io/restart.loguri":"binary:///bin/sh","mydocker.internal.x":"1","ok":"2"}},)"
      R"("rootfs":{"type":"layers","diff_ids":[]}})");
  EXPECT_EQ(document.config.labels->size(), 1U);
  EXPECT_TRUE(document.config.labels->contains("ok"));
}

}  // namespace
}  // namespace mydocker::image
