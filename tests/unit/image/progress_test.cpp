#include "image/progress.h"

#include <gtest/gtest.h>

namespace mydocker::image {
namespace {

TEST(Progress, SizesHaveFourDigitsAndDecimalUnits) {
  EXPECT_EQ(human_size(0), "0B");
  EXPECT_EQ(human_size(999), "999B");
  EXPECT_EQ(human_size(32768), "32.77kB");
  EXPECT_EQ(human_size(2219949), "2.22MB");
  EXPECT_EQ(human_size(1000), "1kB");
  EXPECT_EQ(human_size(5000000000), "5GB");
}

TEST(Progress, LayerLinesAlwaysHaveProgressDetail) {
  ProgressMessage message;
  message.id = "4a1b00112233";
  message.status = "Pulling fs layer";
  message.detail.emplace();
  EXPECT_EQ(to_wire(message), "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"4a1b00112233\"}\r\n");
}

TEST(Progress, BarIsDrawn) {
  ProgressMessage message;
  message.id = "4a1b00112233";
  message.status = "Downloading";
  message.detail = ProgressDetail{1109974, 2219949};
  EXPECT_EQ(to_wire(message),
            "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1109974,\"total\":2219949},\"progress\":"
            "\"[========================>                          ]   1.11MB/2.22MB\",\"id\":\"4a1b00112233\"}\r\n");
  EXPECT_EQ(render_bar({100, 100}), "[==================================================>]     100B/100B");
  EXPECT_EQ(render_bar({0, 0}), "");
  EXPECT_EQ(render_bar({512, 0}), "    512B");
}

TEST(Progress, StreamAndAuxAndErrors) {
  ProgressMessage message;
  message.stream = "Loaded image: a:1\n";
  EXPECT_EQ(to_wire(message), "{\"stream\":\"Loaded image: a:1\\n\"}\r\n");
  ProgressMessage aux;
  aux.aux_json = R"({"ID":"sha256:1"})";
  EXPECT_EQ(to_wire(aux), "{\"aux\":{\"ID\":\"sha256:1\"}}\r\n");
  EXPECT_EQ(to_wire_error("bad \x01"), "{\"errorDetail\":{\"message\":\"bad \\u0001\"},\"error\":\"bad \\u0001\"}\r\n");
}

}  // namespace
}  // namespace mydocker::image
