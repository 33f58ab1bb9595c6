package train_test

// bits are the sha256 of the parameters that jobs find: what a change of the
// arithmetic or of its order would move.
var bits = map[string]string{
	"adam":              "bafc3b4d73c11d738e6e1340c333b529533a4749e79e4eedaa0b73cedde6c038",
	"classes":           "ed9cbe2a28bf27cbed92be7321c4fff26915304db59631c6fbd17f88f63c5a56",
	"lbfgs category":    "b08915099fa59d343c8fd2bbaac97fa0169aaa6c45e9389c4d368f6447f1686d",
	"hardly a row":      "a24eab2bce54973e8248007cb20a19f944d157111d86676028260ca8458d4356",
	"lbfgs binary":      "6062c7e365110345bebefa8fd2d4155fe7dc44458ca81dba7d47e6421de73726",
	"lbfgs number":      "b86a35cb737331608a301116d20b0c2b2566cf4019b09b48145dc95c2b0e2e69",
	"cnn":               "36e75f737433f43292d0d183df79480c9b4b453109bf6499e50a26acc7216db9",
	"fm":                "a230c8ab6ae43d5f37982406eb386f3307a22b504987871a63927a429051a0cb",
	"fm classes":        "58f6a5690a68023f550cb413be019c9fc0d22e9fd3ca9188f77051e97280997b",
	"knn binary":        "2b787536d146970da3f278d714a12c88b8a1e9e993b663e97c1fbeb56932216c",
	"knn category":      "f1c354445486d34b2668b1cb63d666a36e9a3ba4547c1f93a1c4bd181a36e908",
	"knn hidden":        "e72d6b5d6ef5abb815d6098a7f61021c21fd1f837a799da95e13e455b7894036",
	"mlp":               "72f3a198e3175f113c33db5cb35bf185ee2ca815754aec6832d335829d7fc0c2",
	"mlp classes":       "3a95c162ec929306faabbc4192b97482bce102924cb6712e232a6ad962c5ad08",
	"mlp normalized":    "cdf957627a5c60cc51a13b85cd27043955ec1dabe6aea8f994cc306130f1bfa8",
	"mlp number":        "c533646743c25e0b5f97c5ce40641e65fb004671eca4d1141e5dade18f4ecf42",
	"mlp periodic":      "30b2abe4c46e9703d71c00218a5699798c3074781e0f73f1e71f869dd623d41a",
	"momentum":          "56480407e6791cf68dd37907c5d3ba780aa1bc1c962056d31a5f8b122b0f56d1",
	"number":            "f4f07b7b89021015117f452ebdfbccdafa047134484af5872963d90df4556f69",
	"terms":             "4cc7c29a6224818040f7b3a4ed24a4f2fed96bb69cfe84bf1e974e5eb79834a9",
	"wide terms":        "5e1c24a9c9a445615940f70e1e9015b8069580df648f9de4a86116a95855d001",
	"trees binary":      "a59fbd02a3cb3f824cf6268812437bca6f676bce5b9d026f78d72109135edb1f",
	"trees number":      "c707f2d5f9e5873be906b049136b7c4576ae1f19fd6dfb4f9e8ea04e0a2f3c56",
	"warm adam":         "6faac49bfaee2f4cd326e1bc0e4bab1073ce1b82e191c2e92d406fe9245f4455",
	"warm trees":        "8e790a7783432c390a5af213fbb9009e4a4bb73b276a96664e3056812816831c",
	"warm lbfgs number": "897c513b121f2e2db5a319019e5be74b2f65f1cdb7f71ce034b0c37c55070edb",
	"sgd":               "7471c7ab3be046c9d104036f1dcd591434cb30545c1579134f49c0fecf0461a2",
}
