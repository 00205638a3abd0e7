package deployer

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// secretKeyNames are the data keys by which an S3 secret is recognized.
func secretKeyNames(cfg S3Config) []string {
	return []string{cfg.SecretAccessKeyName, "awsSecretAccessKey"}
}

func isS3(s *corev1.Secret, cfg CredentialsConfig) bool {
	return firstKey(s, secretKeyNames(cfg.S3)...) != ""
}

func (c *Credentials) addS3(s *corev1.Secret, cfg CredentialsConfig) {
	if key := firstKey(s, cfg.S3.AccessKeyIDName, "awsAccessKeyID"); key != "" {
		c.envFrom("AWS_ACCESS_KEY_ID", s, key)
	}
	c.envFrom("AWS_SECRET_ACCESS_KEY", s, firstKey(s, secretKeyNames(cfg.S3)...))
	c.addS3Options(s.Annotations, cfg.S3)
}

// addS3Options adds the options that annotations of a secret or service account
// give, else those of the configuration.
func (c *Credentials) addS3Options(annotations map[string]string, cfg S3Config) {
	option := func(name, fallback string) string {
		if v := annotations["serving.kserve.io/s3-"+name]; v != "" {
			return v
		}
		return fallback
	}
	set := func(variable, value string) {
		if value != "" {
			c.env(corev1.EnvVar{Name: variable, Value: value})
		}
	}
	endpoint, useHTTPS := option("endpoint", cfg.Endpoint), option("usehttps", cfg.UseHTTPS)
	if endpoint != "" {
		scheme := "https://"
		if useHTTPS == "0" {
			scheme = "http://"
		}
		set("S3_ENDPOINT", endpoint)
		set("AWS_ENDPOINT_URL", scheme+endpoint)
	}
	set("S3_USE_HTTPS", useHTTPS)
	set("AWS_DEFAULT_REGION", option("region", cfg.Region))
	set("S3_VERIFY_SSL", option("verifyssl", cfg.VerifySSL))
	// The variable is spelt this way in KServe.
	set("S3_USER_VIRTUAL_BUCKET", option("usevirtualbucket", cfg.UseVirtualBucket))
	set("S3_USE_ACCELERATE", option("useaccelerate", cfg.UseAccelerate))
	set("awsAnonymousCredential", option("useanoncredential", cfg.UseAnonymousCredential))
	set("AWS_CA_BUNDLE", option("cabundle", cfg.CABundle))
	if bundle := option("cabundle-configmap", cfg.CABundleConfigMap); bundle != "" {
		set("AWS_CA_BUNDLE_CONFIGMAP", bundle)
		c.CABundleConfigMap = bundle
	}
}

func isGCS(s *corev1.Secret, cfg CredentialsConfig) bool { return has(s, cfg.GCSCredentialFileName) }

func (c *Credentials) addGCS(s *corev1.Secret, cfg CredentialsConfig) {
	const dir = "/var/secrets/"
	c.mount("user-gcp-sa", s, dir)
	c.env(corev1.EnvVar{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: dir + cfg.GCSCredentialFileName})
}

// azureVariables are the variables of Azure's client and the data keys that may
// hold them, the second one being the older name where there is one.
var azureVariables = []struct{ name, old string }{
	{"AZURE_SUBSCRIPTION_ID", "AZ_SUBSCRIPTION_ID"},
	{"AZURE_TENANT_ID", "AZ_TENANT_ID"},
	{"AZURE_CLIENT_ID", "AZ_CLIENT_ID"},
	{"AZURE_CLIENT_SECRET", "AZ_CLIENT_SECRET"},
	{"AZURE_STORAGE_ACCESS_KEY", "AZ_STORAGE_ACCESS_KEY"},
	{"AZURE_ACCESS_TOKEN", ""},
	{"AZURE_ACCESS_EXPIRES_ON_SECONDS", ""},
	{"AZURE_ACCOUNT_NAME", ""},
	{"AZURE_SERVICE_URL", ""},
}

func isAzure(s *corev1.Secret, _ CredentialsConfig) bool {
	return firstKey(s, "AZURE_CLIENT_SECRET", "AZ_CLIENT_SECRET", "AZURE_STORAGE_ACCESS_KEY", "AZ_STORAGE_ACCESS_KEY", "AZURE_CLIENT_ID", "AZ_CLIENT_ID", "AZURE_ACCESS_TOKEN") != ""
}

func (c *Credentials) addAzure(s *corev1.Secret, _ CredentialsConfig) {
	for _, v := range azureVariables {
		if key := firstKey(s, v.name, v.old); key != "" {
			c.envFrom(v.name, s, key)
		}
	}
}

func isHTTPS(s *corev1.Secret, _ CredentialsConfig) bool {
	return has(s, "https-host") && has(s, "headers")
}

func (c *Credentials) addHTTPS(s *corev1.Secret, _ CredentialsConfig) {
	// A host that cannot be part of a variable's name cannot be one in a URI either.
	if name := headerVariable(string(s.Data["https-host"])); len(validation.IsRelaxedEnvVarName(name)) == 0 {
		c.envFrom(name, s, "headers")
	}
}

func isHDFS(s *corev1.Secret, _ CredentialsConfig) bool { return has(s, "HDFS_NAMENODE") }

func (c *Credentials) addHDFS(s *corev1.Secret, _ CredentialsConfig) {
	c.mount("hdfs-secrets", s, "/var/secrets/kserve-hdfscreds")
}

// addToken adds variables that have the value of a data key.
func addToken(key string, variables ...string) func(*Credentials, *corev1.Secret, CredentialsConfig) {
	return func(c *Credentials, s *corev1.Secret, _ CredentialsConfig) {
		for _, v := range variables {
			c.envFrom(v, s, key)
		}
	}
}
