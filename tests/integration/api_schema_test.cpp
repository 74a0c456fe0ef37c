// The judge of tests/support/api_schema.h itself, and every document that can be asked for in every version served.
// That all other tests are judged too is the HTTP client's work.

#include "tests/support/api_schema.h"

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

/// What the judge says of one answer, without the preamble.
std::string judged(const std::string& method, const std::string& target, int status, const std::string& body) {
  std::string out;
  for (const std::string& problem : judge_response(
           {.method = method, .target = target, .status = status, .content_type = "application/json", .body = body},
           "1.51")) {
    out += problem.substr(problem.find(": ") + 2) + "\n";
  }
  return out;
}

TEST(ApiSchema, EveryKindOfDeviationIsNamed) {
  const auto wait = [](const std::string& body) { return judged("POST", "/containers/x/wait", 200, body); };
  EXPECT_EQ(wait(R"({"StatusCode":0})"), "");
  EXPECT_EQ(wait(R"({})"), "missing ContainerWaitResponse.StatusCode: \n");
  EXPECT_EQ(wait(R"({"StatusCode":"0"})"), "type ContainerWaitResponse.StatusCode: is not integer: \"0\"\n");
  EXPECT_EQ(wait(R"({"StatusCode":0,"Extra":1})"), "unknown ContainerWaitResponse.Extra: stands in no definition: 1\n");
  EXPECT_EQ(wait(R"({"StatusCode":0,"Error":{"Message":1}})"),
            "type ContainerWaitExitError.Message: is not string: 1\n");
  EXPECT_EQ(wait("[]"), "type ContainerWaitResponse: is not an object: []\n");
  EXPECT_NE(wait("{"), "");
  EXPECT_EQ(judged("GET", "/containers/x/json", 200, R"({"State":{"Status":"asleep"}})"),
            "enum ContainerState.Status: is none of the enumerated: \"asleep\"\n");
  EXPECT_EQ(judged("GET", "/containers/x/json", 200, R"({"HostConfig":{"NanoCpus":null}})"),
            "null HostConfig.NanoCpus: is null, not integer\n");
  EXPECT_EQ(judged("GET", "/images/a/b:c/json", 402, R"({"message":"x"})"),
            "status GET /images/{name}/json 402: is not declared\n");
  EXPECT_EQ(judged("GET", "/info", 500, R"({"error":"x"})"),
            "unknown ErrorResponse.error: stands in no definition: \"x\"\nmissing ErrorResponse.message: \n");
}

TEST(ApiSchema, DifferencesHoldForTheirVersionsOnly) {
  const std::string endpoint = R"({"NetworkSettings":{"Networks":{"n":{"GwPriority":0}}}})";
  EXPECT_EQ(judge_response({.method = "GET",
                            .target = "/v1.47/containers/x/json",
                            .status = 200,
                            .content_type = "application/json",
                            .body = endpoint},
                           "1.47")
                .size(),
            0U);
  EXPECT_EQ(judged("GET", "/v1.51/containers/x/json", 200, R"({"HostConfig":{"Binds":null}})"), "");
}

class ApiDialectTest : public DaemonTest {};

TEST_F(ApiDialectTest, EveryDocumentIsRightInEveryVersion) {
  const std::string id = run({.name = "asked",
                              .extra = {{"Labels", json::object{{"a", "b"}}}},
                              .host = {{"NetworkMode", "bridge"}, {"Binds", json::array{"asked:/data"}}}});
  const Response made = client().post("/containers/" + id + "/exec", parse_json(R"({"Cmd":["true"]})"));
  const std::string exec_id = text(at(made.json(), "Id"));
  for (int minor = 24; minor <= 51; ++minor) {
    for (const std::string& path :
         {std::string("/info"), std::string("/version"), std::string("/containers/json?all=1&size=1"),
          "/containers/" + id + "/json?size=1", "/containers/" + id + "/top", "/containers/" + id + "/changes",
          "/containers/" + id + (minor < 41 ? "/top?ps_args=-ef" : "/stats?stream=0&one-shot=1"),
          std::string("/images/json"), std::string("/images/payload/json"), std::string("/images/payload/history"),
          std::string("/networks"), std::string("/networks/bridge"), std::string("/volumes"),
          std::string("/volumes/asked"), "/exec/" + exec_id + "/json", std::string("/events?since=1&until=2")}) {
      const std::string target = concat("/v1.", minor, path);
      EXPECT_EQ(client().get(target).status, 200) << target;
    }
  }
  remove(id);
  EXPECT_EQ(client().remove("/volumes/asked").status, 204);
}

}  // namespace
}  // namespace mydocker::test
